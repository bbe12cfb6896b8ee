"""Options of learners with lambda-returns and an entropy bonus: discounting, and the weights of the loss."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from adamas.core.checks import check_range
from adamas.rl.learner import LearnerConfig
from adamas.rl.returns import lambda_returns
from adamas.rl.rollout import Rollout


@dataclass(frozen=True, kw_only=True)
class Objective(LearnerConfig):
    """How a policy learns. Subclasses add what only their rule has.

    Raises:
        UserError: a value is out of range.
    """

    gamma: float = 0.985
    """Discount factor per step. 0 values only the next reward; 1 does not discount."""
    lambda_: float = 0.95
    """Mixing factor of the lambda-returns. 0 bootstraps from the value after one step; 1 only at the end of the
    rollout or the episode."""
    entropy_weight: float = 0.001
    """Weight of the entropy bonus. 0 gives none; large values keep the policy close to random."""
    value_weight: float = 1.0
    """Weight of the squared error of the value. 0 leaves the value untrained."""

    def __post_init__(self) -> None:
        """Check the values."""
        check_range("learner.gamma", self.gamma, least=0, most=1)
        check_range("learner.lambda_", self.lambda_, least=0, most=1)

    def returns(self, rollout: Rollout) -> Tensor:
        """The lambda-returns of a rollout, (B, T)."""
        return lambda_returns(
            rollout.reward,
            rollout.terminated,
            rollout.truncated,
            rollout.value_bootstrap,
            self.gamma,
            self.lambda_,
        )
