"""Example of a metric of the policy: how likely the action was that it took."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from adamas.rl.action_distribution import log_prob_and_entropy
from adamas.rl.losses import ActorCriticLossConfig, actor_critic_loss
from adamas.rl.rollout import Rollout


def loss_with_confidence(
    rollout: Rollout, config: ActorCriticLossConfig
) -> tuple[Tensor, Mapping[str, Tensor]]:
    """:func:`~adamas.rl.losses.actor_critic_loss`, which also reports the probability of the actions taken."""
    loss, metrics = actor_critic_loss(rollout, config)
    log_prob, _ = log_prob_and_entropy(rollout.action_spec, rollout.logits, rollout.action)
    return loss, {**metrics, "action_probability": log_prob.detach().exp().mean()}
