"""Seeded generators, and how close tensors must be."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def close(x: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(x, expected, atol=1e-4, rtol=1e-4)


def close_in_levels(x: Tensor, expected: Tensor) -> None:
    """Frames of 256 levels: at most one level apart, in at most one value of a thousand."""
    off = (x - expected).abs() > 1e-4
    assert off.float().mean() <= 1e-3
    assert ((x - expected).abs() <= 1.01 * 2 / 255).all()
