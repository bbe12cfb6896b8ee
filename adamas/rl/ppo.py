"""PPO (Schulman et al. 2017, arXiv 1707.06347): several updates from the same steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from adamas.core import runtime
from adamas.core.checks import check_range
from adamas.core.meters import mean_of_shards
from adamas.core.protocols import RecurrentPolicy
from adamas.core.seeding import Streams
from adamas.core.workers import Workers
from adamas.nn.optim import Gradient, OptimizerConfig
from adamas.rl.action_distribution import log_prob_and_entropy
from adamas.rl.learner import Act, Learner, Metrics, rates_of
from adamas.rl.objective import Objective
from adamas.rl.policy import PolicyNetwork
from adamas.rl.rollout import Rollout, evaluate_again

ADVANTAGE_EPS = 1e-8


@dataclass(frozen=True, kw_only=True)
class PpoConfig(Objective):
    """PPO: several updates from each rollout."""

    rule: Literal["ppo"] = "ppo"
    entropy_weight: float = 0.01
    value_weight: float = 0.5
    clip: float = 0.2
    """Largest relative change of an action's probability in a rollout's updates. Where the change is larger, the loss
    no longer pushes that probability further. Above 0; large values set no limit."""
    num_epochs: int = 4
    """Number of passes over each rollout, at least 1. More learn more from it, and move the policy further."""
    num_minibatches: int = 4
    """Number of minibatches that the sequences of a rollout are divided into at random for each pass, at least 1. Each
    is one update of the optimiser."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("learner.clip", self.clip, above=0)
        check_range("learner.num_epochs", self.num_epochs, least=1)
        check_range("learner.num_minibatches", self.num_minibatches, least=1)

    @property
    def passes(self) -> int:
        """One to act, and a forward and a backward pass in every epoch."""
        return 1 + 3 * self.num_epochs

    def make(
        self, policy: PolicyNetwork, optimizer: OptimizerConfig, workers: Workers, streams: Streams
    ) -> Ppo:
        """Make the learner."""
        return Ppo(policy, self, optimizer, workers, streams)


@dataclass(frozen=True)
class Targets:
    """What PPO learns towards, computed once from B sequences of T steps with the policy that acted.

    Attributes:
        log_prob: (B, T), of the actions taken.
        returns: (B, T), the lambda-returns.
        advantage: (B, T), the lambda-returns minus the values, which is generalised advantage estimation (GAE).
    """

    log_prob: Tensor
    returns: Tensor
    advantage: Tensor


@torch.no_grad()
def ppo_targets(rollout: Rollout, config: PpoConfig) -> Targets:
    """Compute the targets of a rollout."""
    returns = config.returns(rollout)
    log_prob, _ = log_prob_and_entropy(rollout.action_spec, rollout.logits, rollout.action)
    return Targets(log_prob, returns, returns - rollout.value)


def ppo_loss(
    policy: RecurrentPolicy, rollout: Rollout, targets: Targets, rows: Tensor, config: PpoConfig
) -> tuple[Tensor, Mapping[str, Tensor]]:
    """The loss of some sequences of a rollout (Schulman et al. 2017, equation 9).

    The policy's part is the clipped objective (equation 7). Advantages are normalised over these sequences.

    Args:
        policy: the policy as it is now.
        rollout: B sequences of T steps, of the policy as it was.
        targets: from :func:`ppo_targets`.
        rows: (b,) int64, the sequences to learn from.
        config: the objective.

    Returns:
        A scalar, and metrics.
    """
    logits, value = evaluate_again(policy, rollout, rows)
    log_prob, entropies = log_prob_and_entropy(rollout.action_spec, logits, rollout.action[rows])
    advantage = targets.advantage[rows]
    advantage = (advantage - advantage.mean()) / (advantage.std(unbiased=False) + ADVANTAGE_EPS)
    ratio = (log_prob - targets.log_prob[rows]).exp()  # (b, T)
    limited = ratio.clamp(1 - config.clip, 1 + config.clip)
    loss_policy = -torch.minimum(ratio * advantage, limited * advantage).mean()
    returns = targets.returns[rows]
    loss_value = F.mse_loss(value, returns)
    entropy = entropies.mean()
    loss = loss_policy + config.value_weight * loss_value - config.entropy_weight * entropy
    metrics = {
        "loss": loss.detach(),
        "loss_policy": loss_policy.detach(),
        "loss_value": loss_value.detach(),
        "entropy": entropy.detach(),
        "value": value.detach().mean(),
        "return": returns.mean(),
        "clipped": (ratio.detach() != limited.detach()).float().mean(),
        "kl": (ratio.detach() - 1 - ratio.detach().log()).mean(),  # Schulman's low-variance estimate
    }
    return loss, metrics


class Ppo(Learner):
    """Several epochs of updates from each rollout, on minibatches of whole sequences.

    Each shard divides its own sequences into minibatches, and normalises its own advantages.
    """

    config: PpoConfig

    def __init__(
        self,
        policy: PolicyNetwork,
        config: PpoConfig,
        optimizer: OptimizerConfig,
        workers: Workers,
        streams: Streams,
    ) -> None:
        super().__init__(policy, config, optimizer, workers, streams)
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
        return {**means, **mean_of_shards([rates_of(r) for r in rollouts], shares, self.workers.group)}

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
