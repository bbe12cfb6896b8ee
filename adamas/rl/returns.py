"""Lambda-returns, the targets of the value function."""

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
        reward: (B, T) float, of which the sign counts.
        terminated: (B, T) bool, e_t; or float, the probability of that end.
        truncated: (B, T) bool, u_t.
        value_bootstrap: (B, T) float, V_{t+1}: the value of the frame that follows step t. Where an episode ends,
            this is the episode's last frame, not the first frame of the next episode.
        gamma: discount in [0, 1].
        lambda_: in [0, 1]; 0 bootstraps after one step, 1 only after the last step.

    Returns:
        (B, T) float.
    """
    reward = reward.sign()
    not_terminated = 1 - terminated.float()
    mixing = lambda_ * (1 - truncated.float())  # weight of R_{t+1}; V_{t+1} has the rest
    returns = torch.empty_like(reward)
    next_return = value_bootstrap[:, -1]
    for t in reversed(range(reward.shape[1])):
        future = (1 - mixing[:, t]) * value_bootstrap[:, t] + mixing[:, t] * next_return
        next_return = returns[:, t] = reward[:, t] + gamma * not_terminated[:, t] * future
    return returns
