"""What an epoch consists of. Each phase does its work in small units, between which a run can be saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Generator, Tensor, nn

from adamas.agent import Agent
from adamas.core.protocols import Component
from adamas.core.types import Batch, SegmentSpec
from adamas.data.sampling import SegmentSampler
from adamas.rl.imagination import Imagination
from adamas.rl.losses import actor_critic_loss
from adamas.rl.rollout import Position, rollout, start
from adamas.training.collect import Collector
from adamas.training.config import CollectionConfig, ComponentTraining, PolicyTraining
from adamas.training.optim import NonFiniteLossError, Optimizer, update_average

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
        left = self.config.total_steps - self.collector.store.num_steps
        num_steps = min(self._steps, -(-left // self.config.num_envs))
        steps = self.collector.collect(num_steps, self.config.temperature, self.config.epsilon)
        return rates(steps.reward, steps.terminated, steps.truncated)

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


def planned_updates(config: ComponentTraining | PolicyTraining, epoch: int) -> int:
    """None before the first epoch, more in the first than in the others."""
    if epoch == 0:
        return 0
    return config.first_epoch_updates if epoch == 1 else config.updates_per_epoch


class ComponentPhase(Phase):
    """Updates of one component of the world model."""

    def __init__(
        self,
        component: Component,
        average: nn.Module,
        config: ComponentTraining,
        sampler: SegmentSampler,
        rng: np.random.Generator,
        generator: Generator,
    ) -> None:
        self.component = component
        self.average = average  # the same module where nothing is averaged
        self.config = config
        self.sampler = sampler
        self.rng = rng
        self.generator = generator
        self.optimizer = Optimizer(component.module, config.optimizer)

    def planned(self, epoch: int) -> int:
        """Number of updates."""
        return planned_updates(self.config, epoch)

    def begin(self, epoch: int) -> None:
        """Nothing to prepare."""

    def update(self) -> Metrics:
        """One step of the optimiser on a fresh batch.

        Raises:
            NonFiniteLossError: with the batch attached as ``batch``.
        """
        batch = self.sampler.sample(self.config.batch_size, self.component.segments, self.rng)
        loss, metrics = self.component.loss(batch.to(self.generator.device), self.generator)
        try:
            norm = self.optimizer.update(loss)
        except NonFiniteLossError as error:
            error.batch = batch
            raise
        if self.average is not self.component.module:
            update_average(
                self.average, self.component.module, self.config.average_decay, self.optimizer.num_updates
            )
        return {**metrics, "grad_norm": norm}

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint; the averaged weights are saved with the agent."""
        module = self.component.module
        weights = {} if self.average is module else module.state_dict()
        return {"optimizer": self.optimizer.state_dict(), "module": dict(weights)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not self.component.module:
            self.component.module.load_state_dict(state["module"])


class PolicyPhase(Phase):
    """Updates of the actor-critic, on imagined steps alone."""

    def __init__(
        self,
        agent: Agent,
        config: PolicyTraining,
        contexts: Callable[[int], Batch],
        generator: Generator,
    ) -> None:
        self.policy = agent.actor_critic
        self.config = config
        self.generator = generator
        self.optimizer = Optimizer(self.policy, config.optimizer)
        self.imagination = Imagination(
            agent.world_model,
            contexts,
            config.num_dreams,
            config.horizon,
            agent.config.obs_shape,
            agent.action_spec,
            generator,
        )
        self._position: Position | None = None

    def planned(self, epoch: int) -> int:
        """Number of updates."""
        return planned_updates(self.config, epoch)

    def begin(self, epoch: int) -> None:
        """Forget dreams of the world model of the epoch before."""
        self._position = None

    def update(self) -> Metrics:
        """Dream for some steps, then one step of the optimiser."""
        if self._position is None:
            with torch.no_grad():
                self._position = start(self.policy, self.imagination)
        steps, self._position = rollout(
            self.policy, self.imagination, self._position, self.config.steps_per_update, self.generator
        )
        loss, metrics = actor_critic_loss(steps, self.config.loss)
        norm = self.optimizer.update(loss)
        return {**metrics, "grad_norm": norm, **rates(steps.reward, steps.terminated, steps.truncated)}

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        state: dict[str, Any] = {"optimizer": self.optimizer.state_dict(), "position": None}
        if self._position is not None:
            state["position"] = [self._position.obs, list(self._position.policy_state)]
            state["dreams"] = self.imagination.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.optimizer.load_state_dict(state["optimizer"])
        self._position = None
        if state["position"] is not None:
            device = self.generator.device  # tensors of a checkpoint are on the CPU
            obs, policy_state = state["position"]
            self._position = Position(obs.to(device), tuple(s.to(device) for s in policy_state))
            dreams = state["dreams"]
            worlds = {name: tensor.to(device) for name, tensor in dreams["state"].items()}
            self.imagination.load_state_dict({"state": worlds, "age": dreams["age"].to(device)})


def context_sampler(
    sampler: SegmentSampler, length: int, rng: np.random.Generator, device: torch.device
) -> Callable[[int], Batch]:
    """``K -> K contexts`` of L real frames, never the last frame of an episode."""
    spec = SegmentSpec(length, final_frame=False)
    return lambda k: sampler.sample(k, spec, rng).to(device)
