"""Embeddings of actions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from adamas.core.actions import ActionSpec, Axis

NUM_FREQUENCIES = 4


def action_encoder(spec: ActionSpec, channels: int) -> nn.Module:
    """Build a module that embeds actions: (..., ``*spec.shape``) -> (..., ``channels``)."""
    parts: list[nn.Module] = [nn.Embedding(len(choice.options), channels) for choice in spec.choices]
    if spec.buttons:
        parts.append(ButtonEmbedding(len(spec.buttons), channels))
    if spec.axes:
        parts.append(AxisEmbedding(spec.axes, channels))
    if spec.is_discrete or (len(parts) == 1 and not spec.choices):
        return parts[0]
    return ActionEncoder(spec, parts)


class ActionEncoder(nn.Module):
    """The sum of the embeddings of an action's parts."""

    def __init__(self, spec: ActionSpec, parts: list[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self._sizes = [1] * len(spec.choices) + [n for n in (len(spec.buttons), len(spec.axes)) if n]

    def forward(self, action: Tensor) -> Tensor:
        """(..., D) -> (..., channels)."""
        entries = torch.split(action, self._sizes, dim=-1)
        embedded = [
            part(x[..., 0].long() if isinstance(part, nn.Embedding) else x)
            for part, x in zip(self.parts, entries, strict=True)
        ]
        return torch.stack(embedded).sum(dim=0)


class ButtonEmbedding(nn.Module):
    """The sum of the embeddings of all pressed buttons, as in the published CS:GO model."""

    def __init__(self, num_buttons: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_buttons, channels))

    def forward(self, pressed: Tensor) -> Tensor:
        """(..., num_buttons) of 0 and 1 -> (..., channels)."""
        return pressed.to(self.weight.dtype) @ self.weight


class AxisEmbedding(nn.Module):
    """A linear map of the position of each axis and of its Fourier features.

    The features have 1/2, 1, 2 and 4 periods over the range of the axis. Positions are clipped to that range.
    """

    low: Tensor
    high: Tensor

    def __init__(self, axes: tuple[Axis, ...], channels: int) -> None:
        super().__init__()
        # The configuration holds the bounds, so they are not saved with the weights.
        self.register_buffer("low", torch.tensor([axis.low for axis in axes]), persistent=False)
        self.register_buffer("high", torch.tensor([axis.high for axis in axes]), persistent=False)
        self.linear = nn.Linear((1 + 2 * NUM_FREQUENCIES) * len(axes), channels)

    def forward(self, position: Tensor) -> Tensor:
        """(..., num_axes) -> (..., channels)."""
        x = (2 * (position - self.low) / (self.high - self.low) - 1).clamp(-1, 1)  # (..., num_axes)
        frequency = math.pi / 2 * 2 ** torch.arange(NUM_FREQUENCIES, device=x.device)
        angle = (x[..., None] * frequency).flatten(-2)  # (..., num_axes * NUM_FREQUENCIES)
        return self.linear(torch.cat((x, angle.sin(), angle.cos()), dim=-1))
