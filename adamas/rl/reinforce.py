"""The policy's loss in REINFORCE with a value baseline (Williams 1992): one update from each rollout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from adamas.core.checks import check_range
from adamas.rl.action_distribution import log_prob_and_entropy
from adamas.rl.returns import lambda_returns
from adamas.rl.rollout import Rollout


@dataclass(frozen=True, kw_only=True)
class ReinforceConfig:
    """REINFORCE with a value baseline (paper, appendix D): one update from each rollout."""

    rule: Literal["reinforce"] = "reinforce"
    """Rule by which the policy learns. reinforce: one update from each rollout (the paper's). ppo: several updates from
    each rollout, with a limit on how far the policy moves (Schulman et al. 2017)."""
    gamma: float = 0.985
    """Discount factor per step. 0 values only the next reward; 1 does not discount."""
    lambda_: float = 0.95
    """Mixing factor of the lambda-returns. 0 bootstraps from the value after one step; 1 only at the end of the
    dream."""
    entropy_weight: float = 0.001
    """Weight of the entropy bonus. 0 gives none; large values keep the policy close to random."""
    value_weight: float = 1.0
    """Weight of the squared error of the value. 0 leaves the value untrained."""

    @property
    def num_minibatches(self) -> int:
        """Number of parts that a rollout is learnt from in: 1, the whole."""
        return 1

    def __post_init__(self) -> None:
        check_range("learner.gamma", self.gamma, least=0, most=1)
        check_range("learner.lambda_", self.lambda_, least=0, most=1)


def reinforce_loss(rollout: Rollout, config: ReinforceConfig) -> tuple[Tensor, Mapping[str, Tensor]]:
    """Policy loss (REINFORCE), value loss and entropy bonus of a rollout of (B, T) steps (paper equations 15 and 16).

    Values are regressed to the lambda-returns. The advantage, return minus value, weights the actions' log-probability.
    """
    returns = lambda_returns(
        rollout.reward,
        rollout.terminated,
        rollout.truncated,
        rollout.value_bootstrap,
        config.gamma,
        config.lambda_,
    )  # (B, T)
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
