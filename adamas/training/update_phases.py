"""The phases that update networks: the parts of the world model from the replay store, and the policy in dreams.

Every batch may be split into shards, which are computed in parallel (:mod:`adamas.core.workers`). Each shard has its
own random numbers. The gradients of shards are weighted by their shares of the batch and summed in a fixed order, so
the result does not depend on the order in which shards finish.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from adamas.agent import Agent
from adamas.core import runtime
from adamas.core.meters import mean_of_shards
from adamas.core.protocols import Component, Policy
from adamas.core.seeding import Streams
from adamas.core.types import Batch, SegmentSpec
from adamas.core.workers import Workers
from adamas.data.sampling import SegmentSampler
from adamas.dreaming.imagination import Contexts, Imagination
from adamas.nn.optim import Gradient, NonFiniteLossError, Optimizer, update_ema
from adamas.rl.learner import Learner, Metrics
from adamas.rl.part_training import ComponentTraining, PolicyTraining
from adamas.rl.rollout import Position, Rollout, rollout, start
from adamas.training.config import Config
from adamas.training.phases import Phase


def planned_updates(config: ComponentTraining | PolicyTraining, epoch: int) -> int:
    """Number of updates in an epoch. Epochs before ``start_epoch`` have none; epoch 0 only collects data."""
    if epoch < config.start_epoch:
        return 0
    return config.first_epoch_updates if epoch == config.start_epoch else config.updates_per_epoch


class ComponentPhase(Phase):
    """Trains one component of the world model, and keeps an exponential moving average (EMA) of its weights."""

    make_optimizer: type[Optimizer] = Optimizer

    def __init__(
        self,
        component: Component,
        ema: nn.Module,
        config: ComponentTraining,
        sampler: SegmentSampler,
        rng: np.random.Generator,
        generators: Sequence[Generator],
        workers: Workers,
    ) -> None:
        """Prepare to train a component.

        Args:
            component: what is trained.
            ema: the module whose weights are the EMA of the component's; the component's own module if there is none.
            config: how it is trained.
            sampler: draws batches.
            rng: randomness of the batches.
            generators: randomness of the losses, one for each shard of this process.
            workers: compute the shards.
        """
        self.component = component
        self.ema = ema
        self.config = config
        self.sampler = sampler
        self.rng = rng
        self.generators = generators
        self.workers = workers
        self.optimizer = self.make_optimizer(
            component.module, config.optimizer, workers.group, accumulate=not workers.threads
        )

    def planned(self, epoch: int) -> int:
        """Number of updates."""
        return planned_updates(self.config, epoch)

    def begin(self, epoch: int) -> None:
        """Nothing to prepare."""

    def update(self) -> Metrics:
        """Take one step of the optimiser on a new batch.

        Raises:
            NonFiniteLossError: a loss or a gradient on a CPU is not finite; its ``batch`` is the whole batch.
        """
        before = copy.deepcopy(self.rng)
        here, sizes = self.workers.split(self.config.batch_size)
        batch = self.sampler.sample(self.config.batch_size, self.component.segments, self.rng, here)
        shards = batch.to(self.generators[0].device).split(sizes)
        shares = [size / self.config.batch_size for size in sizes]

        def differentiate(shard: Batch, share: float, generator: Generator) -> tuple[Gradient, Metrics]:
            loss, metrics = self.component.loss(shard, generator)
            return self.optimizer.gradient(loss, share), metrics

        computed = self.workers.map(differentiate, shards, shares, self.generators)
        gradients, metrics = zip(*computed, strict=True)
        try:
            norm = self.optimizer.update(*gradients)
        except (
            NonFiniteLossError
        ) as error:  # draw the whole batch again: another process's shard may be the cause
            error.batch = self.sampler.sample(self.config.batch_size, self.component.segments, before)
            raise
        if self.ema is not self.component.module:
            self._update_ema()
        return {**mean_of_shards(metrics, shares, self.workers.group), "grad_norm": norm}

    def _update_ema(self) -> None:
        decay, num_updates = self.config.average_decay, self.optimizer.num_updates
        update_ema(self.ema, self.component.module, decay, num_updates)

    def state_dict(self) -> dict[str, Any]:
        """The state of the optimiser, and the weights if there is an EMA; otherwise the agent's checkpoint has them."""
        module = self.component.module
        weights = {} if self.ema is module else module.state_dict()
        return {"optimizer": self.optimizer.state_dict(), "module": dict(weights)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.optimizer.load_state_dict(state["optimizer"])
        if self.ema is not self.component.module:
            self.component.module.load_state_dict(state["module"])


class Dreams:
    """One shard of the dreams that the policy learns from, and where its next rollout continues."""

    def __init__(self, policy: Policy, imagination: Imagination) -> None:
        self.policy = policy
        self.imagination = imagination
        self.position: Position | None = None

    @classmethod
    def of_shard(
        cls,
        config: Config,
        agent: Agent,
        sampler: SegmentSampler,
        streams: Streams,
        shard: int,
        num_dreams: int,
    ) -> Dreams:
        """The ``num_dreams`` dreams of a shard, which begin with segments of ``sampler``."""
        device = runtime.device_of(agent)
        contexts = context_sampler(
            sampler, agent.world_model.contexts, streams.numpy(f"contexts {shard}"), device
        )
        imagination = Imagination(
            agent.world_model,
            contexts,
            num_dreams,
            config.horizon,
            agent.config.obs_shape,
            agent.action_spec,
            streams.torch(f"actor_critic {shard}", device),
        )
        return cls(agent.policy, imagination)

    def rollout(self, num_steps: int) -> Rollout:
        """Continue the dreams for ``num_steps`` steps, or start new dreams if there is no position to continue from."""
        if self.position is None:
            with torch.no_grad():
                self.position, _ = start(self.policy, self.imagination)
        steps, self.position = rollout(
            self.policy, self.imagination, self.position, num_steps, self.imagination.generator
        )
        return steps

    def state_dict(self) -> dict[str, Any]:
        """The state for a checkpoint; empty before the first rollout."""
        if self.position is None:
            return {}
        obs, policy_state = self.position
        return {"obs": obs, "policy_state": list(policy_state), "worlds": self.imagination.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint, whose tensors are on the CPU."""
        self.position = None
        if state:
            device = self.imagination.generator.device
            policy_state = tuple(s.to(device) for s in state["policy_state"])
            self.position = Position(state["obs"].to(device), policy_state)
            self.imagination.load_state_dict(_to(state["worlds"], device))


class PolicyPhase(Phase):
    """Trains the actor-critic on imagined steps alone."""

    def __init__(
        self, learner: Learner, config: PolicyTraining, dreams: Sequence[Dreams], workers: Workers
    ) -> None:
        """``dreams`` has one entry per shard of this process."""
        self.learner = learner
        self.config = config
        self.dreams = dreams
        self.workers = workers

    def planned(self, epoch: int) -> int:
        """Number of updates."""
        return planned_updates(self.config, epoch)

    def begin(self, epoch: int) -> None:
        """Begin with new dreams. A checkpoint of version 0.2 may hold those of the epoch before."""
        self.end()

    def end(self) -> None:
        """Discard the dreams, because the world model of the next epoch is another one."""
        for dreams in self.dreams:
            dreams.position = None

    def update(self) -> Metrics:
        """Dream for ``steps_per_update`` steps, and learn from them."""
        shares = [dreams.imagination.num_envs / self.config.num_dreams for dreams in self.dreams]
        act = [partial(dreams.rollout, self.config.steps_per_update) for dreams in self.dreams]
        return self.learner.update(act, shares)

    def state_dict(self) -> dict[str, Any]:
        """The state for a checkpoint; ``dreams`` has one entry per shard of this process."""
        dreams = [dreams.state_dict() for dreams in self.dreams]
        return {**self.learner.state_dict(), "dreams": dreams}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint, whose ``dreams`` has one entry per shard of all processes."""
        self.learner.load_state_dict(state)
        for dreams, saved in zip(self.dreams, state["dreams"][self.workers.here], strict=True):
            dreams.load_state_dict(saved)


def _to(state: Any, device: torch.device) -> Any:
    """Move nested dictionaries of tensors to ``device``."""
    if isinstance(state, Tensor):
        return state.to(device)
    return {name: _to(value, device) for name, value in state.items()}


def context_sampler(
    sampler: SegmentSampler, spec: SegmentSpec, rng: np.random.Generator, device: torch.device
) -> Contexts:
    """Return a function that draws K contexts (:attr:`~adamas.world_models.base.WorldModel.contexts`)."""

    def contexts(k: int) -> Batch:
        return sampler.sample(k, spec, rng).to(device)

    return contexts
