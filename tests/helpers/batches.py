"""Batches of which only the frames matter."""

from __future__ import annotations

import torch
from torch import Tensor

from adamas.core.types import Batch


def frames_alone(obs: Tensor, mask: Tensor | None = None) -> Batch:
    """A batch of (B, T + 1, C, H, W) uint8 frames, all of them real by default; actions, rewards and ends are 0."""
    nothing = torch.zeros(len(obs), obs.shape[1] - 1)
    return Batch(
        obs=obs,
        action=nothing.long(),
        reward=nothing,
        terminated=nothing.bool(),
        truncated=nothing.bool(),
        mask=torch.ones(obs.shape[:2], dtype=torch.bool) if mask is None else mask,
    )
