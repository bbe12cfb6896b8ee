"""REINFORCE with a value baseline (Williams 1992): one update from each rollout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from adamas.core.meters import mean_of_shards
from adamas.core.seeding import Streams
from adamas.core.workers import Workers
from adamas.nn.optim import Gradient, OptimizerConfig
from adamas.rl.action_distribution import log_prob_and_entropy
from adamas.rl.learner import Act, Learner, Metrics, rates_of
from adamas.rl.objective import Objective
from adamas.rl.policy import PolicyNetwork
from adamas.rl.rollout import Rollout


@dataclass(frozen=True, kw_only=True)
class ReinforceConfig(Objective):
    """REINFORCE with a value baseline (paper, appendix D): one update from each rollout."""

    rule: Literal["reinforce"] = "reinforce"

    def make(
        self, policy: PolicyNetwork, optimizer: OptimizerConfig, workers: Workers, streams: Streams
    ) -> Reinforce:
        """Make the learner."""
        return Reinforce(policy, self, optimizer, workers, streams)


def reinforce_loss(rollout: Rollout, config: ReinforceConfig) -> tuple[Tensor, Mapping[str, Tensor]]:
    """Policy loss (REINFORCE), value loss and entropy bonus of a rollout of (B, T) steps (paper equations 15 and 16).

    Values are regressed to the lambda-returns. The advantage, return minus value, weights the actions' log-probability.
    """
    returns = config.returns(rollout)  # (B, T)
    log_prob, entropies = log_prob_and_entropy(
        rollout.action_spec, rollout.logits, rollout.action
    )  # (B, T) each
    advantage = (returns - rollout.value).detach()
    loss_policy = -(log_prob * advantage).mean()
    loss_value = F.mse_loss(rollout.value, returns)
    entropy = entropies.mean()
    loss = loss_policy + config.value_weight * loss_value - config.entropy_weight * entropy
    metrics = {
        "loss": loss.detach(),
        "loss_policy": loss_policy.detach(),
        "loss_value": loss_value.detach(),
        "entropy": entropy.detach(),
        "value": rollout.value.detach().mean(),
        "return": returns.mean(),
    }
    return loss, metrics


class Reinforce(Learner):
    """One update from each rollout, which is differentiated as it was computed."""

    config: ReinforceConfig

    def update(self, act: Sequence[Act], shares: Sequence[float]) -> Metrics:
        """See :meth:`Learner.update`."""

        def differentiate(act: Act, share: float) -> tuple[Gradient, Metrics]:
            rollout = act()
            loss, metrics = reinforce_loss(rollout, self.config)
            return self.optimizer.gradient(loss, share), {**metrics, **rates_of(rollout)}

        gradients, metrics = zip(*self.workers.map(differentiate, act, shares), strict=True)
        norm = self.optimizer.update(*gradients)
        return {**mean_of_shards(metrics, shares, self.workers.group), "grad_norm": norm}
