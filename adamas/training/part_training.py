"""How each part of an agent is trained: the components of the world model, and the policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from adamas.core.checks import check_minima, check_range
from adamas.rl.ppo import PpoConfig
from adamas.rl.reinforce import ReinforceConfig
from adamas.training.optim import OptimizerConfig


@dataclass(frozen=True, kw_only=True)
class ComponentTraining:
    """How one component of the world model is trained."""

    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    batch_size: int = 32
    """Number of segments in a batch, at least num_shards."""
    first_epoch_updates: int = 10_000
    """Number of updates in the first epoch. 0 leaves the component untrained there."""
    updates_per_epoch: int = 400
    """Number of updates in every other epoch. 0 leaves the component as it is after the first epoch."""
    average_decay: float = 0.0
    """Decay of the exponential moving average (EMA) of the weights, per update. Dreams, evaluation and the saved
    agent use the averaged weights. 0 uses the weights themselves; values near 1 average over more updates."""

    def __post_init__(self) -> None:
        check_minima("", self, batch_size=1, first_epoch_updates=0, updates_per_epoch=0)
        check_range("average_decay", self.average_decay, least=0, below=1)


@dataclass(frozen=True, kw_only=True)
class PolicyTraining:
    """How the actor-critic is trained, in dreams alone."""

    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(weight_decay=0.0, max_grad_norm=100.0)
    )
    learner: ReinforceConfig | PpoConfig = field(default_factory=ReinforceConfig)
    num_dreams: int = 32
    """Number of dreams that advance together, at least num_shards."""
    steps_per_update: int = 15
    """Number of steps of a rollout in the dreams. Returns are bootstrapped after the last of them."""
    first_epoch_updates: int = 5_000
    """Number of rollouts that the policy learns from in the first epoch. 0 leaves the policy untrained there."""
    updates_per_epoch: int = 400
    """Number of rollouts that the policy learns from in every other epoch. 0 leaves the policy as it is after the first
    epoch."""

    def __post_init__(self) -> None:
        check_minima(
            "actor_critic.",
            self,
            num_dreams=1,
            steps_per_update=1,
            first_epoch_updates=0,
            updates_per_epoch=0,
        )

    @classmethod
    def upgrade(cls, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Settings that version 0.1 saved, which had ``loss`` in place of ``learner``."""
        if "loss" not in data or "learner" in data:
            return data
        return {"learner" if key == "loss" else key: value for key, value in data.items()}


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How each part of an agent is trained. None for a part that the agent does not have."""

    denoiser: ComponentTraining = field(default_factory=ComponentTraining)
    reward_end: ComponentTraining | None = field(
        default_factory=lambda: ComponentTraining(optimizer=OptimizerConfig(max_grad_norm=100.0))
    )
    upsampler: ComponentTraining | None = None
    actor_critic: PolicyTraining | None = field(default_factory=PolicyTraining)

    def component(self, name: str) -> ComponentTraining:
        """How the part of the world model called ``name`` is trained. Raises KeyError if there is no such part."""
        parts = {"denoiser": self.denoiser, "reward_end": self.reward_end, "upsampler": self.upsampler}
        if (training := parts[name]) is None:
            raise KeyError(name)
        return training
