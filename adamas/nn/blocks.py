"""Convolutional blocks shared by the denoiser, the reward/end model and the actor-critic.

Attributes have the names that the published checkpoints use, so that state dicts have the same keys.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from adamas.core.errors import UserError
from adamas.core.runtime import checkpointed

GROUP_SIZE = 32  # channels per normalisation group; a layer with fewer channels has a single group
GROUP_NORM_EPS = 1e-5
HEAD_CHANNELS = 8  # channels per attention head


def num_groups(channels: int) -> int:
    """Number of normalisation groups for ``channels``: one for every 32 channels, at least one."""
    return max(1, channels // GROUP_SIZE)


def check_channels(where: str, channels: Sequence[int]) -> None:
    """Raise UserError for a number of channels that cannot be split into equal normalisation groups."""
    for count in channels:
        if count < 1 or count % num_groups(count):
            raise UserError(
                f"{where}: {count} channels cannot be split into equal normalisation groups of about {GROUP_SIZE}; "
                f"use a multiple of {GROUP_SIZE}"
            )


def conv1x1(in_channels: int, out_channels: int) -> nn.Conv2d:
    """Build a 1x1 convolution: the same linear map of the channels at every pixel."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=1)


def conv3x3(in_channels: int, out_channels: int) -> nn.Conv2d:
    """Build a 3x3 convolution that keeps height and width."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)


class GroupNorm(nn.Module):
    """Group normalisation with a learnt scale and shift."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(num_groups(channels), channels, eps=GROUP_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return self.norm(x)


class AdaGroupNorm(nn.Module):
    """Adaptive group normalisation (AdaGN): scale and shift are linear functions of a conditioning vector."""

    def __init__(self, channels: int, cond_channels: int) -> None:
        super().__init__()
        self.num_groups = num_groups(channels)
        self.linear = nn.Linear(cond_channels, 2 * channels)

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        """(B, C, H, W), (B, cond_channels) -> (B, C, H, W)."""
        scale, shift = self.linear(cond)[:, :, None, None].chunk(2, dim=1)  # (B, C, 1, 1) each
        x = F.group_norm(x, self.num_groups, eps=GROUP_NORM_EPS)
        return torch.addcmul(shift, x, 1 + scale)


class SelfAttention2d(nn.Module):
    """Multi-head self-attention among the pixels of an image.

    Unlike in a usual residual connection, the output is added to the *normalised* input. The published
    code does this, and its weights depend on it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.num_heads = max(1, channels // HEAD_CHANNELS)
        self.norm = GroupNorm(channels)
        self.qkv_proj = conv1x1(channels, 3 * channels)
        self.out_proj = conv1x1(channels, channels)
        nn.init.zeros_(self.out_proj.weight)
        nn.init.zeros_(self.out_proj.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        b, c, h, w = x.shape
        x = self.norm(x)
        qkv = self.qkv_proj(x).reshape(b, 3, self.num_heads, c // self.num_heads, h * w)
        q, k, v = qkv.transpose(-1, -2).unbind(1)  # (B, heads, H * W, C / heads) each
        y = F.scaled_dot_product_attention(q, k, v)
        return x + self.out_proj(y.transpose(-1, -2).reshape(b, c, h, w))


class Downsample(nn.Module):
    """A strided convolution that halves height and width, rounding up."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel_size=3, stride=2, padding=1)
        nn.init.orthogonal_(self.conv.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, ceil(H / 2), ceil(W / 2))."""
        return self.conv(x)


class Upsample(nn.Module):
    """Nearest-neighbour upsampling that doubles height and width, followed by a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = conv3x3(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 2 H, 2 W)."""
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class ResBlock(nn.Module):
    """Residual block conditioned through AdaGN, with optional self-attention at its end."""

    def __init__(self, in_channels: int, out_channels: int, cond_channels: int, attn: bool) -> None:
        super().__init__()
        self.proj = nn.Identity() if in_channels == out_channels else conv1x1(in_channels, out_channels)
        self.norm1 = AdaGroupNorm(in_channels, cond_channels)
        self.conv1 = conv3x3(in_channels, out_channels)
        self.norm2 = AdaGroupNorm(out_channels, cond_channels)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.attn = SelfAttention2d(out_channels) if attn else nn.Identity()
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        """(B, in_channels, H, W), (B, cond_channels) -> (B, out_channels, H, W)."""
        y = self.conv1(F.silu(self.norm1(x, cond)))
        y = self.conv2(F.silu(self.norm2(y, cond)))
        return self.attn(y + self.proj(x))


class ResBlocks(nn.Module):
    """A sequence of residual blocks, all at the same resolution."""

    def __init__(
        self, in_channels: Sequence[int], out_channels: Sequence[int], cond_channels: int, attn: bool
    ) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(
            ResBlock(c_in, c_out, cond_channels, attn)
            for c_in, c_out in zip(in_channels, out_channels, strict=True)
        )

    def forward(
        self, x: Tensor, cond: Tensor, skips: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the outputs of the last block and of all blocks; ``skips[i]`` is appended to block i's input."""
        outputs = []
        for i, block in enumerate(self.resblocks):
            x_in = x if skips is None else torch.cat((x, skips[i]), dim=1)
            x = checkpointed(block, x_in, cond)
            outputs.append(x)
        return x, outputs


class SmallResBlock(nn.Module):
    """Residual block of the actor-critic, with a single convolution and no conditioning."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.f = nn.Sequential(GroupNorm(in_channels), nn.SiLU(), conv3x3(in_channels, out_channels))
        self.skip_projection = (
            nn.Identity() if in_channels == out_channels else conv1x1(in_channels, out_channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H, W)."""
        return self.skip_projection(x) + self.f(x)


def init_lstm(lstm: nn.LSTM | nn.LSTMCell) -> None:
    """Set Xavier-uniform input weights, orthogonal recurrent weights, and biases of 0 (input-side forget gate: 1)."""
    for name, parameter in lstm.named_parameters():
        if "weight_ih" in name:
            nn.init.xavier_uniform_(parameter)
        elif "weight_hh" in name:
            nn.init.orthogonal_(parameter)
        else:
            nn.init.zeros_(parameter)
            if "bias_ih" in name:  # PyTorch's gate order: input, forget, cell, output
                hidden = len(parameter) // 4
                nn.init.ones_(parameter.data[hidden : 2 * hidden])


def dropout(x: Tensor, probability: float, generator: Generator | None) -> Tensor:
    """Set values to 0 with a probability, and scale the others up so that the mean stays. None drops nothing."""
    if generator is None or probability == 0:
        return x
    kept = torch.rand(x.shape, generator=generator, device=x.device) >= probability
    return x * kept / (1 - probability)
