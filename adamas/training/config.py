"""The configuration of a run: one frozen dataclass per part, composed here and named in ``adamas.presets``."""

from __future__ import annotations

from dataclasses import dataclass, field

from adamas.core.errors import UserError
from adamas.core.runtime import RuntimeConfig
from adamas.envs.config import EnvConfig
from adamas.rl.actor_critic import ActorCriticConfig
from adamas.rl.losses import ActorCriticLossConfig
from adamas.training.optim import OptimizerConfig
from adamas.world_models.diamond import DiamondConfig


@dataclass(frozen=True)
class CollectionConfig:
    """How much is played in the real game, and how."""

    num_envs: int = 1
    first_steps: int = 5_000
    """Real steps before the first epoch (at least)."""
    first_steps_max: int = 10_000
    """Real steps before the first epoch (at most), while rare rewards are missing."""
    min_rare_rewards: int = 10
    """Rewards of the less frequent signs to have been seen before the first epoch starts."""
    steps_per_epoch: int = 100
    total_steps: int = 100_000
    """Real steps of the whole run."""
    epsilon: float = 0.01
    """Probability of a uniformly random action."""
    temperature: float = 1.0
    """Of the policy while collecting; higher explores more."""
    age_weights: tuple[float, ...] = (0.1, 0.1, 0.1, 0.7)
    """Probability of drawing from each part of the episodes, oldest part first."""

    def __post_init__(self) -> None:
        if not 1 <= self.first_steps <= self.first_steps_max:
            raise UserError(
                f"collection: 1 <= first_steps <= first_steps_max, got {self.first_steps} and {self.first_steps_max}"
            )
        if self.steps_per_epoch < 1 or self.num_envs < 1:
            raise UserError(
                f"collection: steps_per_epoch and num_envs must be at least 1, got {self.steps_per_epoch} "
                f"and {self.num_envs}"
            )


@dataclass(frozen=True)
class ComponentTraining:
    """How one component of the world model is trained."""

    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    batch_size: int = 32
    first_epoch_updates: int = 10_000
    updates_per_epoch: int = 400
    average_decay: float = 0.0
    """Dreams, evaluation and the saved agent use an exponential average of the weights with this decay; 0: the
    weights themselves."""

    def __post_init__(self) -> None:
        if not 0 <= self.average_decay < 1:
            raise UserError(f"average_decay must be in [0, 1), got {self.average_decay}")


@dataclass(frozen=True)
class PolicyTraining:
    """How the actor-critic is trained, in dreams alone."""

    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(weight_decay=0.0, max_grad_norm=100.0)
    )
    loss: ActorCriticLossConfig = field(default_factory=ActorCriticLossConfig)
    num_dreams: int = 32
    """Dreams stepped in parallel: the batch size."""
    steps_per_update: int = 15
    """Steps between two updates; returns are bootstrapped after them."""
    horizon: int = 15
    """Steps after which a dream is cut off."""
    first_epoch_updates: int = 5_000
    updates_per_epoch: int = 400


@dataclass(frozen=True)
class EvaluationConfig:
    """How often, and on how many episodes, the agent and its world model are measured."""

    every_epochs: int = 10
    episodes: int = 4
    """Episodes of the real game at each of these evaluations."""
    final_episodes: int = 100
    """Episodes of the real game after the last epoch."""
    num_envs: int = 4
    temperature: float = 1.0
    """Of the policy; 0 is greedy."""
    heldout_steps: int = 500
    """Real steps, never trained on, that the dream is compared with at each evaluation."""
    heldout_windows: int = 64
    """Dreams compared with their true continuation."""


@dataclass(frozen=True)
class Config:
    """A run."""

    seed: int = 0
    """Everything random in the run follows from it."""
    env: EnvConfig = field(default_factory=EnvConfig)
    world_model: DiamondConfig = field(default_factory=DiamondConfig)
    actor_critic: ActorCriticConfig = field(default_factory=ActorCriticConfig)
    collection: CollectionConfig = field(default_factory=CollectionConfig)
    denoiser: ComponentTraining = field(default_factory=ComponentTraining)
    reward_end: ComponentTraining = field(
        default_factory=lambda: ComponentTraining(OptimizerConfig(max_grad_norm=100.0))
    )
    policy: PolicyTraining = field(default_factory=PolicyTraining)
    final_epochs: int = 50
    """Epochs without collecting, after all real steps are collected."""
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    checkpoint_minutes: float = 10.0
    """Minutes between checkpoints. One is always written at the end and when the run is interrupted."""
    tensorboard: bool = True
    wandb_project: str | None = None
    """Weights & Biases project to log to."""

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UserError(f"seed must be at least 0, got {self.seed}")
        size, factor = self.env.size, 2 ** (len(self.world_model.denoiser.network.channels) - 1)
        if size < factor:
            raise UserError(
                f"env.size {size} is too small for {len(self.world_model.denoiser.network.channels)} levels of the "
                f"denoiser; use at least {factor}, or fewer levels"
            )
