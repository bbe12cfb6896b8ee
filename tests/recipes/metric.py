"""Example of a metric of the policy: how likely the action was that it took."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from adamas.rl.action_distribution import log_prob_and_entropy
from adamas.rl.reinforce import ReinforceConfig, reinforce_loss
from adamas.rl.rollout import Rollout


def loss_with_confidence(rollout: Rollout, config: ReinforceConfig) -> tuple[Tensor, Mapping[str, Tensor]]:
    """:func:`~adamas.rl.reinforce.reinforce_loss`, which also reports the probability of the actions taken."""
    loss, metrics = reinforce_loss(rollout, config)
    log_prob, _ = log_prob_and_entropy(rollout.action_spec, rollout.logits, rollout.action)
    return loss, {**metrics, "action_probability": log_prob.detach().exp().mean()}
