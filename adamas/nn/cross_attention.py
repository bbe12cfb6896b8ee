"""Past frames as something to look at, instead of further channels of the input (paper, appendix M.2, figure 9).

Past frames are encoded one by one; the U-Net's pixels attend to theirs. So what moved far is found where it was.

The paper says this much: the U-Net itself sees the noisy frame alone, and attends to the activations of a lighter
one, whose weights all past frames share, and which is told each one's place in time. At which levels it attends, that
pixels know their positions, that the encoder knows actions and noise level, and all sizes are choices made here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adamas.core.actions import ActionSpec
from adamas.nn.actions import action_encoder
from adamas.nn.blocks import HEAD_CHANNELS, Downsample, GroupNorm, ResBlocks, conv1x1, conv3x3

NUM_FREQUENCIES = 6
POSITION_CHANNELS = 4 * NUM_FREQUENCIES


class CrossAttention2d(nn.Module):
    """Multi-head attention of an image's pixels to those of L others of its size. It begins as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.num_heads = max(1, channels // HEAD_CHANNELS)
        self.norm = GroupNorm(channels)
        self.past_norm = GroupNorm(channels)
        self.q_proj = conv1x1(channels + POSITION_CHANNELS, channels)
        self.kv_proj = conv1x1(channels + POSITION_CHANNELS, 2 * channels)
        self.out_proj = conv1x1(channels, channels)
        nn.init.zeros_(self.out_proj.weight)
        nn.init.zeros_(self.out_proj.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, past: Tensor) -> Tensor:
        """(B, C, H, W), (B, L, C, H, W) -> (B, C, H, W)."""
        b, c, h, w = x.shape
        length, d = past.shape[1], c // self.num_heads
        position = positions(h, w, x)
        q = self.q_proj(_beside(self.norm(x), position)).reshape(b, self.num_heads, d, h * w)
        kv = self.kv_proj(_beside(self.past_norm(past.flatten(0, 1)), position))  # (B * L, 2 C, H, W)
        kv = kv.reshape(b, length, 2, self.num_heads, d, h * w).permute(2, 0, 3, 1, 5, 4)
        k, v = kv.flatten(3, 4).unbind(0)  # (B, heads, L * H * W, C / heads) each
        y = F.scaled_dot_product_attention(q.transpose(-1, -2), k, v)
        return x + self.out_proj(y.transpose(-1, -2).reshape(b, c, h, w))


def positions(height: int, width: int, like: Tensor) -> Tensor:
    """(1, POSITION_CHANNELS, H, W): sines and cosines of each pixel's row and column, at 1/2 to 16 periods a frame.

    On ``like``'s device and of its type, but computed in fp32: bf16 angles are off by up to a third of a radian.
    """
    frequency = math.pi * 2.0 ** torch.arange(NUM_FREQUENCIES, device=like.device, dtype=torch.float32)
    angles = []
    for size in (height, width):
        place = (torch.arange(size, device=like.device, dtype=torch.float32) + 0.5) / size
        angles.append(frequency[:, None] * place)  # (NUM_FREQUENCIES, size)
    grid = torch.cat(
        (angles[0][:, :, None].expand(-1, -1, width), angles[1][:, None].expand(-1, height, -1))
    )  # (2 NUM_FREQUENCIES, H, W)
    return torch.cat((grid.sin(), grid.cos()))[None].to(like.dtype)


def _beside(x: Tensor, position: Tensor) -> Tensor:
    # Not len(x): it would fix the batch of exported models.
    return torch.cat((x, position.expand(x.shape[0], -1, -1, -1)), dim=1)


class PastEncoder(nn.Module):
    """The way down of a U-Net, for every past frame by itself, conditioned on its place in time and its action."""

    def __init__(
        self,
        img_channels: int,
        length: int,
        cond_channels: int,
        depths: Sequence[int],
        channels: Sequence[int],
        action_spec: ActionSpec | None,
    ) -> None:
        super().__init__()
        self.place_emb = nn.Embedding(length, cond_channels)
        self.act_emb = None if action_spec is None else action_encoder(action_spec, cond_channels)
        self.conv_in = conv3x3(img_channels, channels[0])
        self.blocks = nn.ModuleList(
            ResBlocks([channels[max(0, i - 1)]] + [c] * (n - 1), [c] * n, cond_channels, attn=False)
            for i, (n, c) in enumerate(zip(depths, channels, strict=True))
        )
        self.downsamples = nn.ModuleList([nn.Identity(), *(Downsample(c) for c in channels[:-1])])

    def forward(self, obs: Tensor, action: Tensor | None, cond: Tensor) -> list[Tensor]:
        """The frames at every level.

        Args:
            obs: (B, L, C, H, W), oldest first; H and W are multiples of 2 ** (number of levels - 1).
            action: (B, L) int64, or (B, L, K) float32; None where it sees none.
            cond: (B, cond_channels), of all frames alike.

        Returns:
            (B, L, channels[i], H / 2^i, W / 2^i) for each level i.
        """
        b, length = obs.shape[:2]
        each = cond[:, None] + self.place_emb.weight  # (B, L, cond_channels)
        if self.act_emb is not None:
            each = each + self.act_emb(action)
        x, levels = self.conv_in(obs.flatten(0, 1)), []
        for blocks, downsample in zip(self.blocks, self.downsamples, strict=True):
            x, _ = blocks(downsample(x), each.flatten(0, 1))
            levels.append(x.unflatten(0, (b, length)))
        return levels
