"""The policy's loss on a rollout small enough to do by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.rl.reinforce import ReinforceConfig, reinforce_loss
from adamas.rl.rollout import Rollout

PLAIN = ReinforceConfig(gamma=0.5, lambda_=0.5, entropy_weight=0.0, value_weight=0.0)


def make_rollout(logits: Tensor, value: Tensor) -> Rollout:
    """One sequence of two steps, actions 0 and 1, that ends after a punishment.

    With gamma = lambda = 0.5 the returns are R_1 = -1 and R_0 = 1 + 0.5 * (0.5 * 2 + 0.5 * -1) = 1.25.
    """
    return Rollout(
        action_spec=ActionSpec.numbered(2),
        obs=torch.zeros(1, 2, 3, 2, 2, dtype=torch.uint8),
        action=torch.tensor([[0, 1]]),
        logits=logits,
        value=value,
        reward=torch.tensor([[7.0, -7.0]]),
        terminated=torch.tensor([[False, True]]),
        truncated=torch.tensor([[False, False]]),
        value_bootstrap=torch.tensor([[2.0, 9.0]]),
        steps=[],
        policy_state=(),
        restarts=[],
    )


def test_policy_loss_and_its_gradient_by_hand() -> None:
    logits = torch.zeros(1, 2, 2, requires_grad=True)
    value = torch.tensor([[0.25, 1.0]], requires_grad=True)
    loss, metrics = reinforce_loss(make_rollout(logits, value), PLAIN)
    # Advantages 1.25 - 0.25 = 1 and -1 - 1 = -2; log-probabilities ln(1/2): -(1 - 2) ln(1/2) / 2
    assert loss.item() == pytest.approx(0.5 * torch.tensor(0.5).log().item())
    assert metrics["return"].item() == pytest.approx((1.25 - 1) / 2)
    loss.backward()
    # advantage * (p - onehot(a)) / 2 steps: descent makes the first step's action more likely, and the second
    # step's (where the gradient is positive) less likely, twice as strongly.
    torch.testing.assert_close(logits.grad, torch.tensor([[[-0.25, 0.25], [-0.5, 0.5]]]))
    assert value.grad is None or not value.grad.any()  # the baseline does not learn from the policy's loss


def test_value_loss_and_its_gradient_by_hand() -> None:
    logits, value = torch.zeros(1, 2, 2), torch.tensor([[0.25, 1.0]], requires_grad=True)
    loss, metrics = reinforce_loss(make_rollout(logits, value), replace(PLAIN, value_weight=3.0))
    assert metrics["loss_value"].item() == pytest.approx((1.0**2 + 2.0**2) / 2)
    loss.backward()
    torch.testing.assert_close(value.grad, torch.tensor([[3 * (0.25 - 1.25), 3 * (1.0 + 1.0)]]))


def test_entropy_is_rewarded() -> None:
    logits = torch.tensor([[[0.0, 0.0], [2.0, 0.0]]], requires_grad=True)
    value = torch.tensor([[1.25, -1.0]])  # equal to the returns: no advantage
    loss, metrics = reinforce_loss(make_rollout(logits, value), replace(PLAIN, entropy_weight=0.1))
    p = torch.tensor([2.0, 0.0]).softmax(0)
    entropy = (torch.tensor(2.0).log() - (p * p.log()).sum()) / 2
    torch.testing.assert_close(metrics["entropy"], entropy)
    torch.testing.assert_close(loss.detach(), -0.1 * entropy)
    loss.backward()
    assert logits.grad is not None
    assert not logits.grad[0, 0].any()  # already uniform
    assert logits.grad[0, 1, 0] > 0 > logits.grad[0, 1, 1]  # descent makes the likelier action less likely


def test_parts_add_up() -> None:
    torch.manual_seed(0)
    rollout = make_rollout(torch.randn(1, 2, 2), torch.randn(1, 2))
    config = ReinforceConfig(gamma=0.9, lambda_=0.8, entropy_weight=0.2, value_weight=0.5)
    loss, m = reinforce_loss(rollout, config)
    torch.testing.assert_close(loss, m["loss_policy"] + 0.5 * m["loss_value"] - 0.2 * m["entropy"])
    assert torch.equal(loss, m["loss"])


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(UserError, match=r"`learner.gamma` is 1.5; it must be at least 0 and at most 1"):
        ReinforceConfig(gamma=1.5)
