"""The phases of an epoch. Each phase works in small units, and a run can be saved between any two units.

The phases that train networks are in :mod:`adamas.training.update_phases`.
"""

from __future__ import annotations

from typing import Any, Protocol

from adamas.rl.learner import Metrics, rates_of
from adamas.training.collect import Collector
from adamas.training.config import CollectionConfig


class Phase(Protocol):
    """One stage of an epoch."""

    def planned(self, epoch: int) -> int:
        """Number of units of work in ``epoch``. Only data collection has work in epoch 0."""
        ...

    def finished(self, epoch: int, done: int, planned: int) -> bool:
        """Whether the phase ends after ``done`` of ``planned`` units."""
        return done >= planned

    def begin(self, epoch: int) -> None:
        """Prepare for the first unit of an epoch. Not called when a run resumes in the middle of a phase."""
        ...

    def update(self) -> Metrics:
        """Do one unit of work."""
        ...

    def end(self) -> None:
        """Finish after the last unit of an epoch. Called in every process."""
        return

    def state_dict(self) -> dict[str, Any]:
        """The state for a checkpoint."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        ...


class CollectPhase(Phase):
    """Collects real steps into the replay store."""

    chunk = 20  # the most steps of each environment in one unit of work

    def __init__(self, collector: Collector, config: CollectionConfig) -> None:
        self.collector = collector
        self.config = config
        self._steps = 0  # steps of each environment in one unit of work

    def _chunks(self, num_steps: int) -> tuple[int, int]:
        """Number of units of work for ``num_steps`` real steps, and steps of each environment per unit."""
        per_env = -(-num_steps // self.config.num_envs)
        units = -(-per_env // self.chunk)
        return units, -(-per_env // units)

    def planned(self, epoch: int) -> int:
        """Number of units of work. For epoch 0 this is a minimum."""
        if epoch == 0:
            return self._chunks(self.config.first_steps)[0]
        left = self.config.total_steps - self.collector.store.num_steps
        return self._chunks(min(self.config.steps_per_epoch, left))[0] if left > 0 else 0

    def begin(self, epoch: int) -> None:
        """Choose the number of steps per unit."""
        left = self.config.total_steps - self.collector.store.num_steps
        steps = self.config.first_steps if epoch == 0 else min(self.config.steps_per_epoch, left)
        self._steps = self._chunks(steps)[1]
        self.collector.returns.clear()

    def finished(self, epoch: int, done: int, planned: int) -> bool:
        """Whether all steps are collected. Epoch 0 also waits for rare rewards, up to ``first_steps_max`` steps."""
        if epoch > 0:
            return done >= planned or self.collector.store.num_steps >= self.config.total_steps
        if done < planned:
            return False
        if self.collector.store.num_steps >= self.config.first_steps_max:
            return True
        counts = self.collector.reward_signs
        return int(counts.sum() - counts.max()) >= self.config.min_rare_rewards

    def update(self) -> Metrics:
        """Collect one chunk."""
        steps = self.collector.collect(self.steps_due(), self.config.temperature, self.config.epsilon)
        return rates_of(steps)

    def steps_due(self) -> int:
        """Number of steps of each environment in the next unit of work."""
        left = self.config.total_steps - self.collector.store.num_steps
        return min(self._steps, -(-left // self.config.num_envs))

    def state_dict(self) -> dict[str, Any]:
        """The state for a checkpoint."""
        return {"collector": self.collector.state_dict(), "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.collector.load_state_dict(state["collector"])
        self._steps = state["steps"]
