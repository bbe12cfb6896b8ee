"""What an epoch consists of. Each phase does its work in small units, between which a run can be saved.

The phases that train something are in :mod:`adamas.training.learning`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from adamas.training.collect import Collector
from adamas.training.config import CollectionConfig

Metrics = Mapping[str, Tensor]


class Phase(Protocol):
    """One stage of an epoch."""

    def planned(self, epoch: int) -> int:
        """Units of work in ``epoch``; epoch 0 only collects."""
        ...

    def finished(self, epoch: int, done: int, planned: int) -> bool:
        """Whether ``done`` units are enough."""
        return done >= planned

    def begin(self, epoch: int) -> None:
        """Called before the first unit of an epoch (not when a run resumes in the middle)."""
        ...

    def update(self) -> Metrics:
        """Do one unit of work."""
        ...

    def end(self) -> None:
        """Called after the last unit of an epoch, in every process of a group of several."""
        return

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        ...


class CollectPhase(Phase):
    """Real steps into the replay."""

    chunk = 20  # steps of every environment in one unit of work, at most

    def __init__(self, collector: Collector, config: CollectionConfig) -> None:
        self.collector = collector
        self.config = config
        self._steps = 0  # of every environment, in one unit of work

    def _chunks(self, num_steps: int) -> tuple[int, int]:
        """Units of work for ``num_steps`` real steps, and steps of each environment per unit."""
        per_env = -(-num_steps // self.config.num_envs)
        units = -(-per_env // self.chunk)
        return units, -(-per_env // units)

    def planned(self, epoch: int) -> int:
        """Units of work; before the first epoch this is the least there will be."""
        if epoch == 0:
            return self._chunks(self.config.first_steps)[0]
        left = self.config.total_steps - self.collector.store.num_steps
        return self._chunks(min(self.config.steps_per_epoch, left))[0] if left > 0 else 0

    def begin(self, epoch: int) -> None:
        """Choose how many steps a unit takes."""
        left = self.config.total_steps - self.collector.store.num_steps
        steps = self.config.first_steps if epoch == 0 else min(self.config.steps_per_epoch, left)
        self._steps = self._chunks(steps)[1]
        self.collector.returns.clear()

    def finished(self, epoch: int, done: int, planned: int) -> bool:
        """Before the first epoch, not until rare rewards have been seen, or looked for long enough."""
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
        return rates(steps.reward, steps.terminated, steps.truncated)

    def steps_due(self) -> int:
        """Steps of every environment that the next unit of work takes."""
        left = self.config.total_steps - self.collector.store.num_steps
        return min(self._steps, -(-left // self.config.num_envs))

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"collector": self.collector.state_dict(), "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.collector.load_state_dict(state["collector"])
        self._steps = state["steps"]


def rates(reward: Tensor, terminated: Tensor, truncated: Tensor) -> dict[str, Tensor]:
    """Rewards, their signs and ends per step: the numbers in which a dream and the game must agree."""
    return {
        "reward_rate": reward.sign().mean(),
        "nonzero_reward_rate": (reward != 0).float().mean(),
        "end_rate": terminated.float().mean(),
        "truncation_rate": truncated.float().mean(),
    }
