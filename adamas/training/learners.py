"""Learners: how a policy learns from rollouts, in dreams or in the real game.

To add one, write its configuration (:mod:`adamas.rl.ppo` is an example) and a subclass of :class:`Learner`, enter both
in :data:`LEARNERS`, and add the configuration to ``PolicyTraining.learner``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from adamas.core import runtime
from adamas.core.seeding import Streams
from adamas.core.workers import Workers
from adamas.rl.actor_critic import ActorCritic
from adamas.rl.ppo import PpoConfig, Targets, ppo_loss, ppo_targets
from adamas.rl.reinforce import ReinforceConfig, reinforce_loss
from adamas.rl.rollout import Rollout
from adamas.training.meters import mean_of_shards
from adamas.training.optim import Gradient, Optimizer
from adamas.training.part_training import PolicyTraining
from adamas.training.phases import Metrics, rates

Act = Callable[[], Rollout]
"""Acts in the environments of one shard for a few steps, from where the last call ended."""


class Learner(ABC):
    """How a policy learns. It owns the optimiser, and whatever else its rule needs."""

    def __init__(
        self, policy: ActorCritic, training: PolicyTraining, workers: Workers, streams: Streams
    ) -> None:
        """Prepare to train ``policy``.

        Args:
            policy: the policy and value function.
            training: how they are trained.
            workers: compute the shards of a batch.
            streams: the random streams of the run.
        """
        self.policy = policy
        self.config: Any = training.learner  # of the type that LEARNERS has for the subclass
        self.workers = workers
        self.optimizer = Optimizer(policy, training.optimizer, workers.group, accumulate=not workers.threads)

    @abstractmethod
    def update(self, act: Sequence[Act], shares: Sequence[float]) -> Metrics:
        """Act once in every shard, and learn from what happened.

        Args:
            act: acts in the environments of a shard, for every shard of this process.
            shares: each shard's share of all environments.

        Returns:
            Averages over the shards of all processes.
        """

    def state_dict(self) -> dict[str, Any]:
        """The state for a checkpoint, without the weights of the policy."""
        return {"optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.optimizer.load_state_dict(state["optimizer"])


class Reinforce(Learner):
    """One update from each rollout, which is differentiated as it was computed."""

    config: ReinforceConfig

    def update(self, act: Sequence[Act], shares: Sequence[float]) -> Metrics:
        """See :meth:`Learner.update`."""

        def differentiate(act: Act, share: float) -> tuple[Gradient, Metrics]:
            rollout = act()
            loss, metrics = reinforce_loss(rollout, self.config)
            return self.optimizer.gradient(loss, share), {**metrics, **_rates(rollout)}

        gradients, metrics = zip(*self.workers.map(differentiate, act, shares), strict=True)
        norm = self.optimizer.update(*gradients)
        return {**mean_of_shards(metrics, shares, self.workers.group), "grad_norm": norm}


class Ppo(Learner):
    """Several epochs of updates from each rollout, on minibatches of whole sequences.

    Each shard divides its own sequences into minibatches, and normalises its own advantages.
    """

    config: PpoConfig

    def __init__(
        self, policy: ActorCritic, training: PolicyTraining, workers: Workers, streams: Streams
    ) -> None:
        super().__init__(policy, training, workers, streams)
        self.device = runtime.device_of(policy)
        shards = range(workers.num_shards)[workers.here]
        self.generators = [streams.torch(f"minibatches {i}", self.device) for i in shards]

    def update(self, act: Sequence[Act], shares: Sequence[float]) -> Metrics:
        """See :meth:`Learner.update`. Metrics of losses are averages over all minibatches."""

        def begin(act: Act) -> tuple[Rollout, Targets]:
            with torch.no_grad():
                rollout = act().to(self.device)
            return rollout, ppo_targets(rollout, self.config)

        rollouts, targets = zip(*self.workers.map(begin, act), strict=True)
        updates = [
            self._update(rollouts, targets, rows, shares)
            for _ in range(self.config.num_epochs)
            for rows in zip(*map(self._minibatches, rollouts, self.generators), strict=True)
        ]
        means = {name: torch.stack([metrics[name] for metrics in updates]).mean() for name in updates[0]}
        return {**means, **mean_of_shards([_rates(r) for r in rollouts], shares, self.workers.group)}

    def _minibatches(self, rollout: Rollout, generator: torch.Generator) -> Sequence[Tensor]:
        """Divide the sequences of a rollout at random: their indices, (b,) int64 each."""
        order = torch.randperm(len(rollout.obs), generator=generator, device=generator.device)
        return order.tensor_split(self.config.num_minibatches)

    def _update(
        self,
        rollouts: Sequence[Rollout],
        targets: Sequence[Targets],
        rows: Sequence[Tensor],
        shares: Sequence[float],
    ) -> Metrics:
        """Take one step of the optimiser on a minibatch, of which each shard has its own rows."""

        def differentiate(
            rollout: Rollout, targets: Targets, rows: Tensor, share: float
        ) -> tuple[Gradient, Metrics]:
            loss, metrics = ppo_loss(self.policy, rollout, targets, rows, self.config)
            return self.optimizer.gradient(loss, share), metrics

        computed = self.workers.map(differentiate, rollouts, targets, rows, shares)
        gradients, metrics = zip(*computed, strict=True)
        norm = self.optimizer.update(*gradients)
        return {**mean_of_shards(metrics, shares, self.workers.group), "grad_norm": norm}


LEARNERS: Mapping[type, type[Learner]] = {ReinforceConfig: Reinforce, PpoConfig: Ppo}
"""The learner of each configuration."""


def make_learner(
    policy: ActorCritic, training: PolicyTraining, workers: Workers, streams: Streams
) -> Learner:
    """Make the learner that ``training`` names; arguments as of :class:`Learner`."""
    return LEARNERS[type(training.learner)](policy, training, workers, streams)


def _rates(rollout: Rollout) -> Metrics:
    return rates(rollout.reward, rollout.terminated, rollout.truncated)
