"""The policy's loss in PPO (Schulman et al. 2017, arXiv 1707.06347): several updates from the same steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from adamas.core.checks import check_range
from adamas.core.protocols import RecurrentPolicy
from adamas.rl.action_distribution import log_prob_and_entropy
from adamas.rl.objective import Objective
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
    """The loss of some sequences of a rollout (equation 9, with the clipped objective of equation 7).

    Advantages are normalised over these sequences.

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
