"""PPO's loss on rollouts small enough to do by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.core.protocols import PolicyOutput
from adamas.rl.policy import PolicyNetwork
from adamas.rl.ppo import PpoConfig, Targets, ppo_loss, ppo_targets
from adamas.rl.rollout import Rollout

CONFIG = PpoConfig(gamma=0.5, lambda_=0.5, entropy_weight=0.0, value_weight=0.0, clip=0.2)


class Table(PolicyNetwork):
    """Says the same of every frame: logits (x, 0), and the value v."""

    def __init__(self, x: float, v: float = 0.0) -> None:
        super().__init__()
        self.x, self.v = nn.Parameter(torch.tensor(x)), nn.Parameter(torch.tensor(v))

    def initial_state(self, batch_size: int) -> tuple[Tensor, ...]:
        return ()

    def encode(self, obs: Tensor) -> Tensor:
        return obs.flatten(1).float()

    def step(self, features: Tensor, state: tuple[Tensor, ...]) -> PolicyOutput:
        logits = torch.stack((self.x, torch.zeros(())), dim=-1).expand(len(features), 2)
        return PolicyOutput(logits, self.v.expand(len(features)), state)


def make_rollout(logits: Tensor, value: Tensor) -> Rollout:
    """Two sequences of two steps. All take actions 0 and 1; the first is punished at its end, the second rewarded."""
    return Rollout(
        action_spec=ActionSpec.numbered(2),
        obs=torch.zeros(2, 2, 3, 2, 2, dtype=torch.uint8),
        action=torch.tensor([[0, 1], [0, 1]]),
        logits=logits,
        value=value,
        reward=torch.tensor([[1.0, -1.0], [0.0, 1.0]]),
        terminated=torch.tensor([[False, True], [False, True]]),
        truncated=torch.tensor([[False, False], [False, False]]),
        value_bootstrap=torch.tensor([[2.0, 9.0], [0.0, 9.0]]),
        steps=[],
        policy_state=(),
        restarts=[],
    )


def test_targets_by_hand() -> None:
    targets = ppo_targets(
        make_rollout(torch.zeros(2, 2, 2), torch.tensor([[0.25, 2.0], [0.25, 0.0]])), CONFIG
    )
    torch.testing.assert_close(targets.log_prob, torch.full((2, 2), math.log(0.5)))
    torch.testing.assert_close(targets.returns, torch.tensor([[1.25, -1.0], [0.25, 1.0]]))
    torch.testing.assert_close(targets.advantage, torch.tensor([[1.0, -3.0], [0.0, 1.0]]))


def loss_of(ratio_of_first: float, advantage: Tensor) -> tuple[Tensor, Table, dict[str, Tensor]]:
    """The loss if the first action became ``ratio_of_first`` times as likely as it was, 1/2."""
    prob = ratio_of_first / 2
    policy = Table(math.log(prob / (1 - prob)))
    rollout = make_rollout(torch.zeros(2, 2, 2), torch.zeros(2, 2))
    targets = Targets(torch.full((2, 2), math.log(0.5)), torch.zeros(2, 2), advantage)
    loss, metrics = ppo_loss(policy, rollout, targets, torch.tensor([0, 1]), CONFIG)
    return loss, policy, dict(metrics)


def test_before_any_change_the_gradient_is_that_of_reinforce() -> None:
    advantage = torch.tensor([[3.0, -1.0], [1.0, -3.0]])  # mean 0, standard deviation sqrt(5)
    loss, policy, metrics = loss_of(1.0, advantage)
    (grad,) = torch.autograd.grad(loss, [policy.x])
    # d log p(0) / dx = 1/2 and d log p(1) / dx = -1/2 at x = 0: minus the mean of (3, 1, 1, 3) / sqrt(5) / 2.
    assert grad.item() == pytest.approx(-(3 + 1 + 1 + 3) / 4 / 2 / math.sqrt(5))
    assert metrics["clipped"] == 0 and metrics["kl"].item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("ratio", "sign", "moves"),
    [(1.5, 1.0, False), (1.5, -1.0, True), (0.5, 1.0, True), (0.5, -1.0, False)],
)
def test_only_changes_that_go_too_far_in_the_right_direction_are_clipped(
    ratio: float, sign: float, moves: bool
) -> None:
    # Action 0, whose probability changed by the ratio, has advantage +-1, and action 1 the opposite. Its probability
    # changed by 2 - ratio, so it is clipped where action 0 is.
    loss, policy, metrics = loss_of(ratio, sign * torch.tensor([[1.0, -1.0], [1.0, -1.0]]))
    (grad,) = torch.autograd.grad(loss, [policy.x])
    assert (grad.item() != 0) == moves and metrics["clipped"] == 1
    best = min(ratio * sign, max(0.8, min(1.2, ratio)) * sign)
    other = min(-(2 - ratio) * sign, -max(0.8, min(1.2, 2 - ratio)) * sign)
    assert loss.item() == pytest.approx(-(best + other) / 2, rel=1e-5)


def test_value_and_entropy_enter_with_their_weights() -> None:
    policy = Table(0.0, 3.0)
    rollout = make_rollout(torch.zeros(2, 2, 2), torch.zeros(2, 2))
    targets = Targets(torch.full((2, 2), math.log(0.5)), torch.ones(2, 2), torch.zeros(2, 2))
    config = PpoConfig(value_weight=0.25, entropy_weight=0.1)
    loss, metrics = ppo_loss(policy, rollout, targets, torch.tensor([0, 1]), config)
    assert loss.item() == pytest.approx(0.25 * 4 - 0.1 * math.log(2))
    assert metrics["loss_value"].item() == pytest.approx(4)


@pytest.mark.parametrize("wrong", [{"clip": 0.0}, {"num_epochs": 0}, {"num_minibatches": 0}, {"gamma": 1.5}])
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        PpoConfig(**wrong)  # type: ignore[arg-type]
