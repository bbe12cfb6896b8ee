"""Lambda-returns."""

from __future__ import annotations

import torch
from torch import Tensor


def lambda_returns(
    reward: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    value_bootstrap: Tensor,
    gamma: float,
    lambda_: float,
) -> Tensor:
    """Lambda-returns of rewards clipped to their sign (paper equation 14).

    R_t = r_t + gamma (1 - e_t) [(1 - u_t) ((1 - lambda) V_{t+1} + lambda R_{t+1}) + u_t V_{t+1}]

    with R_T = V_T after the last step.

    Args:
        reward: (B, T) float, any scale.
        terminated: (B, T) bool, e_t.
        truncated: (B, T) bool, u_t.
        value_bootstrap: (B, T) float, V_{t+1}: the value of the frame that follows step t. Where an episode ends
            it is the value of its last frame, not of the next episode's first.
        gamma: discount in [0, 1].
        lambda_: in [0, 1]; 0 bootstraps after one step, 1 never before the end.

    Returns:
        (B, T) float.
    """
    reward = reward.sign()
    going_on = 1 - terminated.float()
    mixing = lambda_ * (1 - truncated.float())  # weight of R_{t+1}; the rest goes to V_{t+1}
    returns = torch.empty_like(reward)
    following = value_bootstrap[:, -1]
    for t in reversed(range(reward.shape[1])):
        ahead = (1 - mixing[:, t]) * value_bootstrap[:, t] + mixing[:, t] * following
        following = returns[:, t] = reward[:, t] + gamma * going_on[:, t] * ahead
    return returns
