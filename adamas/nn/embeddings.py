"""Embeddings of scalars."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class FourierFeatures(nn.Module):
    """Random Fourier features of a scalar: cos and sin at ``channels / 2`` fixed frequencies drawn from N(0, 1).

    Source: Tancik et al. 2020, as used by EDM (Karras et al. 2022) for the noise level.
    """

    weight: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels % 2:
            raise ValueError(f"Fourier features need an even number of channels; {channels} is odd")
        self.register_buffer("weight", torch.randn(1, channels // 2))

    def forward(self, x: Tensor) -> Tensor:
        """(B,) -> (B, channels)."""
        angle = 2 * math.pi * x[:, None] @ self.weight  # (B, channels / 2)
        return torch.cat((angle.cos(), angle.sin()), dim=-1)
