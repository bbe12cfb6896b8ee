"""How each part of an agent is trained: the components of the world model, and the policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from adamas.core.checks import check_minima, check_range
from adamas.core.kinds import Open, register
from adamas.nn.optim import OptimizerConfig
from adamas.rl.learner import LearnerConfig
from adamas.rl.ppo import PpoConfig
from adamas.rl.reinforce import ReinforceConfig

register(ReinforceConfig, PpoConfig)  # all learners; the first one is the default


@dataclass(frozen=True, kw_only=True)
class ComponentTraining:
    """How one component of the world model is trained."""

    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    batch_size: int = 32
    """Number of segments in a batch, at least num_shards."""
    start_epoch: int = 1
    """First epoch in which the component is trained, at least 1."""
    first_epoch_updates: int = 10_000
    """Number of updates in the first of these epochs. 0 leaves the component untrained there."""
    updates_per_epoch: int = 400
    """Number of updates in every other epoch. 0 leaves the component as it is after the first one."""
    average_decay: float = 0.0
    """Decay of the exponential moving average (EMA) of the weights, per update. Dreams, evaluation and the saved
    agent use the averaged weights. 0 uses the weights themselves; values near 1 average over more updates."""

    def __post_init__(self) -> None:
        check_minima("", self, batch_size=1, start_epoch=1, first_epoch_updates=0, updates_per_epoch=0)
        check_range("average_decay", self.average_decay, least=0, below=1)


@dataclass(frozen=True, kw_only=True)
class PolicyTraining:
    """How the actor-critic is trained."""

    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(weight_decay=0.0, max_grad_norm=100.0)
    )
    learner: LearnerConfig = field(default_factory=ReinforceConfig)
    num_dreams: int = 32
    """Number of dreams that advance together, at least num_shards."""
    steps_per_update: int = 15
    """Number of steps of a rollout in the dreams. Returns are bootstrapped after the last of them."""
    start_epoch: int = 1
    """First epoch in which the policy learns, at least 1. Before, it acts as it was initialised."""
    first_epoch_updates: int = 5_000
    """Number of rollouts that the policy learns from in the first of these epochs. 0 leaves the policy untrained
    there."""
    updates_per_epoch: int = 400
    """Number of rollouts that the policy learns from in every other epoch. 0 leaves the policy as it is after the first
    one."""

    def __post_init__(self) -> None:
        check_minima(
            "actor_critic.",
            self,
            num_dreams=1,
            steps_per_update=1,
            start_epoch=1,
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
class TrainingConfig(Open):
    """How each part of an agent is trained: base of a dataclass for each kind of world model.

    The fields of a subclass are named like the components of the world model, and hold a :class:`ComponentTraining`, or
    None for a component that the world model does not have.
    """

    kind: str
    """Kind of world model, the same as world_model.kind."""
    actor_critic: PolicyTraining | None = field(default_factory=PolicyTraining)
    """How the policy is trained. None in a run on recordings, which has no policy."""

    def component(self, name: str) -> ComponentTraining:
        """How the component of the world model called ``name`` is trained. Raises KeyError if there is none."""
        return self.components[name]

    @property
    def components(self) -> dict[str, ComponentTraining]:
        """How each component is trained, by its name; without components that the world model does not have."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, ComponentTraining)}
