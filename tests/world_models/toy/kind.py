"""A kind of world model of its own: latent features, a memory of the game, real-valued rewards, chances of an end.

It is as small as such a kind can be, and learns little. Its policy has a rule of its own, and its parts begin to learn
in different epochs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from adamas.core.actions import ActionSpec
from adamas.core.meters import mean_of_shards
from adamas.core.protocols import Component, DreamState, PolicyOutput
from adamas.core.seeding import Streams
from adamas.core.types import Batch, SegmentSpec, to_model_range, to_pixels
from adamas.core.workers import Workers
from adamas.nn.optim import Gradient, OptimizerConfig
from adamas.rl.action_distribution import log_prob_and_entropy, num_parameters
from adamas.rl.learner import Act, Learner, LearnerConfig, Metrics
from adamas.rl.part_training import ComponentTraining, TrainingConfig
from adamas.rl.policy import PolicyConfig, PolicyNetwork
from adamas.world_models.base import Imagined, Memory, WorldModel, WorldModelConfig

LENGTH = 3  # frames of a context


@dataclass(frozen=True, kw_only=True)
class ToyConfig(WorldModelConfig):
    """Sizes of the toy world model."""

    kind: Literal["toy"] = "toy"
    """Kind of world model."""
    size: int = 6
    """Size of a frame's code, and of the recurrent state."""

    @property
    def num_blocks(self) -> int:
        """Its layers are not made in a loop."""
        return 0

    def build(self, obs_shape: tuple[int, int, int], action_spec: ActionSpec) -> Toy:
        """Build the world model."""
        return Toy(self.size, obs_shape, action_spec.num_actions)

    def feature_shape(self, obs_shape: tuple[int, int, int]) -> tuple[int, ...]:
        """Policies see the recurrent state and the code of the newest frame."""
        return (2 * self.size,)


class Toy(WorldModel):
    """A linear autoencoder of frames, and a recurrent model of their codes.

    The state of B dreams holds ``hidden`` (B, n) and ``code`` (B, n). The memory of a game holds the recurrent state
    and the last action in one-hot form, zero before the first.
    """

    def __init__(self, size: int, obs_shape: tuple[int, int, int], num_actions: int) -> None:
        super().__init__()
        self.size, self.obs_shape, self.num_actions = size, obs_shape, num_actions
        pixels = obs_shape[0] * obs_shape[1] * obs_shape[2]
        self.autoencoder = nn.ModuleList((nn.Linear(pixels, size), nn.Linear(size, pixels)))
        self.dynamics = nn.ModuleList((nn.GRUCell(size + num_actions, size), nn.Linear(size, size + 2)))

    @property
    def context_length(self) -> int:
        return LENGTH

    def code(self, obs: Tensor) -> Tensor:
        return self.autoencoder[0](to_model_range(obs).flatten(1)).tanh()  # (B, n)

    def recall(self, hidden: Tensor, code: Tensor, action: Tensor) -> Tensor:
        return self.dynamics[0](torch.cat((code, action), dim=1), hidden)

    def initial_memory(self, batch_size: int) -> Memory:
        weight = next(self.parameters())
        return weight.new_zeros(batch_size, self.size), weight.new_zeros(batch_size, self.num_actions)

    @torch.no_grad()
    def observe(self, memory: Memory, obs: Tensor) -> tuple[Tensor, Memory]:
        hidden, action = memory
        code = self.code(obs)
        hidden = self.recall(hidden, code, action)
        return torch.cat((hidden, code), dim=1), (hidden, action)

    def remember(self, memory: Memory, action: Tensor) -> Memory:
        return memory[0], F.one_hot(action, self.num_actions).float()

    def start(self, context: Batch) -> tuple[DreamState, Tensor]:
        memory, seen = self.initial_memory(len(context.obs)), []
        for t in range(LENGTH):
            features, memory = self.observe(memory, context.obs[:, t])
            seen.append(features)
            if t < LENGTH - 1:
                memory = self.remember(memory, context.action[:, t])
        return {"hidden": memory[0], "code": seen[-1][:, self.size :]}, torch.stack(seen, dim=1)

    @torch.no_grad()
    def imagine(self, state: DreamState, action: Tensor, generator: Generator) -> tuple[DreamState, Imagined]:
        hidden = self.recall(state["hidden"], state["code"], F.one_hot(action, self.num_actions).float())
        said = self.dynamics[1](hidden)
        code, reward, chance = said[:, :-2].tanh(), said[:, -2], said[:, -1].sigmoid() / 8
        ends = torch.rand(len(chance), generator=generator) < chance
        features = torch.cat((hidden, code), dim=1)
        return {"hidden": hidden, "code": code}, Imagined(features, reward, ends, chance)

    def decode(self, state: DreamState) -> Tensor:
        return to_pixels(self.autoencoder[1](state["code"]).reshape(-1, *self.obs_shape))

    def components(self, horizon: int) -> Mapping[str, Component]:
        return {
            "autoencoder": Component(self.autoencoder, self.loss_of_codes, SegmentSpec(1)),
            "dynamics": Component(self.dynamics, self.loss_of_steps, SegmentSpec(2)),
        }

    def loss_of_codes(self, batch: Batch, generator: Generator) -> tuple[Tensor, Mapping[str, Tensor]]:
        obs = batch.obs[:, 0]
        loss = F.mse_loss(self.autoencoder[1](self.code(obs)), to_model_range(obs).flatten(1))
        return loss, {"loss": loss.detach()}

    def loss_of_steps(self, batch: Batch, generator: Generator) -> tuple[Tensor, Mapping[str, Tensor]]:
        with torch.no_grad():
            code, target = self.code(batch.obs[:, 0]), self.code(batch.obs[:, 1])
        hidden, _ = self.initial_memory(len(code))
        said = self.dynamics[1](
            self.recall(hidden, code, F.one_hot(batch.action[:, 0], self.num_actions).float())
        )
        loss = F.mse_loss(said[:, :-2].tanh(), target) + F.mse_loss(said[:, -2], batch.reward[:, 0])
        loss = loss + F.binary_cross_entropy_with_logits(said[:, -1], batch.terminated[:, 0].float())
        return loss, {"loss": loss.detach()}


@dataclass(frozen=True, kw_only=True)
class ToyPolicyConfig(PolicyConfig):
    """The toy policy has no sizes."""

    kind: Literal["linear"] = "linear"
    """Network of the policy."""

    def build(self, features: tuple[int, ...], action_spec: ActionSpec) -> ToyPolicy:
        """Build the policy."""
        return ToyPolicy(features[0], num_parameters(action_spec))


class ToyPolicy(PolicyNetwork):
    """One linear layer on features, without a recurrent state."""

    def __init__(self, size: int, num_outputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(size, num_outputs + 1)

    def initial_state(self, batch_size: int) -> tuple[Tensor, ...]:
        return ()

    def encode(self, obs: Tensor) -> Tensor:
        return obs

    def step(self, features: Tensor, state: tuple[Tensor, ...]) -> PolicyOutput:
        said = self.layer(features)
        return PolicyOutput(said[:, :-1], said[:, -1], ())


@dataclass(frozen=True, kw_only=True)
class ToyLearnerConfig(LearnerConfig):
    """A policy gradient without a value function."""

    rule: Literal["average"] = "average"
    """Rule by which the policy learns."""
    decay: float = 0.9
    """Decay of the running average of rewards, which is the baseline."""

    def make(
        self, policy: PolicyNetwork, optimizer: OptimizerConfig, workers: Workers, streams: Streams
    ) -> ToyLearner:
        """Make the learner."""
        return ToyLearner(policy, self, optimizer, workers, streams)


class ToyLearner(Learner):
    """Weights actions by the reward of their whole dream, less a running average: its own state.

    What follows a likely end counts for less.
    """

    config: ToyLearnerConfig

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.average = 0.0

    def update(self, act: Sequence[Act], shares: Sequence[float]) -> Metrics:
        """See :meth:`Learner.update`."""

        def differentiate(act: Act, share: float) -> tuple[Gradient, Metrics]:
            rollout = act()
            assert rollout.terminated.is_floating_point() and rollout.obs.dtype != torch.uint8
            alive = (1 - rollout.terminated).cumprod(dim=1)  # (B, T)
            total = (alive * rollout.reward).sum(dim=1)  # (B,)
            log_prob, _ = log_prob_and_entropy(rollout.action_spec, rollout.logits, rollout.action)
            loss = -(log_prob * (total - self.average)[:, None]).mean()
            metrics = {"loss": loss.detach(), "total": total.mean()}
            return self.optimizer.gradient(loss, share), metrics

        gradients, metrics = zip(*self.workers.map(differentiate, act, shares), strict=True)
        norm = self.optimizer.update(*gradients)
        means = mean_of_shards(metrics, shares, self.workers.group)
        self.average = self.config.decay * self.average + (1 - self.config.decay) * float(means["total"])
        return {**means, "grad_norm": norm}

    def state_dict(self) -> dict[str, Any]:
        """The optimiser and the running average."""
        return {**super().state_dict(), "average": self.average}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint."""
        super().load_state_dict(state)
        self.average = state["average"]


@dataclass(frozen=True, kw_only=True)
class ToyTraining(TrainingConfig):
    """Each part begins to learn one epoch after the part before it."""

    kind: Literal["toy"] = "toy"
    autoencoder: ComponentTraining = field(
        default_factory=lambda: ComponentTraining(batch_size=4, first_epoch_updates=4, updates_per_epoch=2)
    )
    dynamics: ComponentTraining = field(
        default_factory=lambda: ComponentTraining(
            batch_size=4, start_epoch=2, first_epoch_updates=3, updates_per_epoch=2, average_decay=0.5
        )
    )


KINDS = (ToyConfig, ToyTraining, ToyPolicyConfig, ToyLearnerConfig)
"""What is registered, in one line: ``register(*KINDS)``."""
