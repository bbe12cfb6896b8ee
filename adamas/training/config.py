"""The configuration of a run: one frozen dataclass per part. Presets (``adamas.presets``) are instances of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from adamas.core.checks import check_minima, check_range
from adamas.core.errors import UserError
from adamas.core.kinds import first
from adamas.core.runtime import RuntimeConfig
from adamas.data.sampling import EpisodeWeighting
from adamas.envs.config import AtariConfig, EnvConfig
from adamas.rl.part_training import PolicyTraining, TrainingConfig
from adamas.rl.policy import PolicyConfig
from adamas.training.old_config import upgraded
from adamas.world_models import registry  # noqa: F401  # makes all kinds known
from adamas.world_models.base import WorldModelConfig


@dataclass(frozen=True, kw_only=True)
class CollectionConfig:
    """How much data is collected in the real game, and how."""

    num_envs: int = 1
    """Number of games that are played at the same time, at least 1."""
    first_steps: int = 5_000
    """Least number of steps of the real game before the first epoch."""
    first_steps_max: int = 10_000
    """Number of steps of the real game after which the first epoch starts even if too few of the rare rewards have been
    seen, rounded up to a whole unit of collection (at most 20 steps of each environment)."""
    min_rare_rewards: int = 10
    """Number of rewards that must have been seen before the first epoch starts, not counting those of the most
    frequent sign (-1, 0 or 1). 0 starts it after first_steps."""
    steps_per_epoch: int = 100
    """Number of steps of the real game that each epoch adds to the replay, at least 1."""
    total_steps: int = 100_000
    """Number of steps of the real game in the whole run, rounded up to a multiple of num_envs."""
    epsilon: float = 0.01
    """Probability of a uniformly random action instead of the policy's, from 0 (never) to 1 (always)."""
    temperature: float = 1.0
    """Number that the logits of the policy are divided by while collecting. Above 1 it explores more; 0 takes the
    most likely action."""
    age_weights: tuple[float, ...] = (0.1, 0.1, 0.1, 0.7)
    """Probabilities of training on each of several equal groups of episodes, from the oldest group to the newest.
    They must sum to 1."""
    episode_weighting: EpisodeWeighting = "length"
    """How an episode is drawn within its age group. equal: every episode is equally likely, as in the published code.
    length: every frame is equally likely, so that long episodes are drawn more often."""

    def __post_init__(self) -> None:
        check_minima("collection.", self, num_envs=1, min_rare_rewards=0, steps_per_epoch=1)
        check_range("collection.epsilon", self.epsilon, least=0, most=1)
        check_range("collection.temperature", self.temperature, least=0, below=math.inf)
        if not 1 <= self.first_steps <= self.first_steps_max <= self.total_steps:
            raise UserError(
                f"`collection.first_steps` is {self.first_steps}, `collection.first_steps_max` is "
                f"{self.first_steps_max} and `collection.total_steps` is {self.total_steps}; each must be at least 1 "
                "and at least the one before it"
            )


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How often, and on how many episodes, the agent and its world model are evaluated."""

    every_epochs: int = 10
    """Number of epochs from one evaluation to the next. 1 evaluates after every epoch."""
    episodes: int = 4
    """Number of episodes of the real game at each evaluation."""
    final_episodes: int = 100
    """Number of episodes of the real game for the final score, after the last epoch."""
    num_envs: int = 4
    """Number of games that are played at the same time, at least 1. More are faster and use more memory."""
    temperature: float = 1.0
    """Number that the logits of the policy are divided by. 0 takes the most likely action; 1 draws actions as the
    policy says."""
    heldout_steps: int = 500
    """Number of steps of the real game that are recorded for each evaluation and never trained on. Dreams are
    compared with them."""
    heldout_windows: int = 64
    """Number of dreams that each evaluation compares with their true continuation."""

    def __post_init__(self) -> None:
        check_minima(
            "evaluation.",
            self,
            every_epochs=1,
            episodes=1,
            final_episodes=1,
            num_envs=1,
            heldout_steps=1,
            heldout_windows=1,
        )
        check_range("evaluation.temperature", self.temperature, least=0, below=math.inf)


class GameParts(NamedTuple):
    """The parts of a configuration that only a run that plays a game has."""

    env: EnvConfig
    collection: CollectionConfig
    actor_critic: PolicyConfig
    training: PolicyTraining


@dataclass(frozen=True, kw_only=True)
class Config:
    """The configuration of a run."""

    seed: int = 0
    """Seed of everything random in the run, at least 0. Equal seeds give equal runs on a CPU."""
    env: EnvConfig | None = field(default_factory=AtariConfig)
    """The game. In a run on recordings, the game that was recorded, or None if they do not name it."""
    data: str | None = None
    """Folder or URL of recordings to train the world model on instead of a game, split into train/ and test/ (see
    adamas data split). Nothing is collected and no policy is trained. The run has final_epochs epochs."""
    init: str | None = None
    """Agent whose weights the run starts from: the folder of a run or of a checkpoint, a published .pt file, or
    hf://owner/name. By default, weights are random."""
    init_parts: tuple[str, ...] = ()
    """Parts to take from init, separated by spaces, such as denoiser reward_end actor_critic; the others start with
    random weights. By default, all parts that both agents have."""
    world_model: WorldModelConfig = field(default_factory=lambda: first(WorldModelConfig))
    actor_critic: PolicyConfig | None = field(default_factory=lambda: first(PolicyConfig))
    """The network of the policy. None in a run on recordings, which has no policy."""
    horizon: int = 15
    """Number of steps after which a dream is cut off and starts again from another real frame. The policy learns in
    dreams of this length, and evaluations compare dreams of this length with what really happened. A
    network of its own for rewards and ends learns from sequences of this length unless segment_length is set."""
    collection: CollectionConfig | None = field(default_factory=CollectionConfig)
    """None in a run on recordings, which collects nothing."""
    training: TrainingConfig = field(default_factory=lambda: first(TrainingConfig))
    imagination: Literal["on", "off"] = "on"
    """Where the policy learns. on: in dreams of the world model. off: on steps of the real game alone, without a
    world model, as a baseline."""
    num_shards: int = 1
    """Number of shards that every batch is split into, as equally as possible. On a CPU, each shard has a thread of
    its own. On a GPU, shards are computed one after another, which needs less memory (gradient accumulation). Several
    processes (torchrun) divide the shards among themselves, at least one each. Every shard draws its own random
    numbers, so this number changes what a run learns, as the seed does."""
    final_epochs: int = 50
    """Number of epochs after all real steps are collected. In a run on recordings, the number of all epochs."""
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    checkpoint_minutes: float = 10.0
    """Minutes from one checkpoint to the next. 0 writes one after every update. One is always written at the end and
    when the run is interrupted."""
    tensorboard: bool = True
    """Whether metrics are written for TensorBoard as well, to metrics/tensorboard in the folder of the run."""
    wandb_project: str | None = None
    """Weights & Biases project that metrics are sent to as well. By default, none."""

    def __post_init__(self) -> None:
        check_minima("", self, seed=0, horizon=1, num_shards=1, final_epochs=0, checkpoint_minutes=0)
        if self.init_parts and self.init is None:
            raise UserError(
                "`init_parts` says what to take from `init`; name an agent with `init`, or leave it out"
            )
        if self.data is not None and self.imagination == "off":
            raise UserError(
                "`imagination` is off, which trains on a game alone; leave out `data`, or set it to on"
            )
        if self.data is None and self.runtime.shard_parameters:
            raise UserError("`runtime.shard_parameters` is for training on recordings; name them with `data`")
        self._check_parts()
        self._check_batches()
        if self.data is None and self.env is not None:
            self.world_model.check_frames(self.env.obs_shape)

    @classmethod
    def upgrade(cls, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """The fields of a file from before version 0.2, under today's names."""
        return upgraded(data)

    @property
    def game_parts(self) -> GameParts | None:
        """What only a run that plays a game has; None in a run on recordings."""
        if self.data is not None:
            return None
        env, collection = self.env, self.collection
        actor_critic, training = self.actor_critic, self.training.actor_critic
        assert env is not None and collection is not None  # as checked when this was made
        assert actor_critic is not None and training is not None
        return GameParts(env, collection, actor_critic, training)

    def _check_parts(self) -> None:
        """Check that a part exists exactly where the run needs it."""
        model, training = self.world_model, self.training
        if model.kind != training.kind:
            raise UserError(
                f"`world_model.kind` is {model.kind} and `training.kind` is {training.kind}; make them equal, or start "
                "from a preset of the kind that you want"
            )
        model.check_training(training)
        if self.imagination == "off" and not model.shows_frames:
            raise UserError(
                f"`imagination` is off, but policies of the kind {model.kind} see what a world model makes of frames; "
                "set it to on, or choose another kind"
            )
        of_games = {
            "collection": self.collection,
            "actor_critic": self.actor_critic,
            "training.actor_critic": training.actor_critic,
        }
        if self.data is None and self.env is None:
            raise UserError("a run needs a game or recordings; set `env`, or name recordings with `data`")
        for name, part in of_games.items():
            if self.data is None and part is None:
                raise UserError(f"`{name}` is None, but a run that plays a game needs it; give it a value")
            if self.data is not None and part is not None:
                raise UserError(
                    f"`{name}` is for runs that play a game, and `data` names recordings; set it to None "
                    "(adamas.training.source.on_recordings turns a run in a game into one on recordings)"
                )

    def _check_batches(self) -> None:
        """Check that every batch can be split into shards."""
        training = self.training
        sizes = {f"training.{name}.batch_size": part.batch_size for name, part in training.components.items()}
        if training.actor_critic is not None:
            sizes["training.actor_critic.num_dreams"] = training.actor_critic.num_dreams
        for name, size in sizes.items():
            if size < self.num_shards:
                raise UserError(f"`{name}` is {size}; it must be at least `num_shards`, {self.num_shards}")
        self._check_minibatches()

    def _check_minibatches(self) -> None:
        """Check that the policy's learner can divide the sequences of every shard."""
        if (game := self.game_parts) is None:
            return
        name, count, shards = "training.actor_critic.num_dreams", game.training.num_dreams, self.num_shards
        if self.imagination == "off":
            name, count, shards = "collection.num_envs", game.collection.num_envs, 1
        if count < (least := shards * game.training.learner.num_minibatches):
            raise UserError(
                f"`{name}` is {count}; it must be at least {least}, one for each minibatch of each shard; raise it, or "
                "lower `training.actor_critic.learner.num_minibatches`"
            )
