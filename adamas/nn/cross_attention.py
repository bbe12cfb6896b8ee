"""Cross-attention to past frames, instead of concatenating them with the noisy frame (paper, appendix M.2, figure 9).

A small encoder processes each past frame separately, and every pixel of the U-Net attends to the pixels of all past
frames. So the network can find an object at its earlier position, even if it has moved far.

The paper specifies that the U-Net's input is the noisy frame alone, and that it attends to the activations of a
lighter U-Net, which processes all past frames with the same weights and receives each frame's position in time. The
paper does not specify the levels that attend, position embeddings of pixels, whether the encoder is conditioned on
actions and noise level, or any sizes. These are choices made here.
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
    """Multi-head attention from an image's pixels to those of L images of the same size; the identity at first."""

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
        q = self.q_proj(_append(self.norm(x), position)).reshape(b, self.num_heads, d, h * w)
        kv = self.kv_proj(_append(self.past_norm(past.flatten(0, 1)), position))  # (B * L, 2 C, H, W)
        kv = kv.reshape(b, length, 2, self.num_heads, d, h * w).permute(2, 0, 3, 1, 5, 4)
        k, v = kv.flatten(3, 4).unbind(0)  # (B, heads, L * H * W, C / heads) each
        y = F.scaled_dot_product_attention(q.transpose(-1, -2), k, v)
        return x + self.out_proj(y.transpose(-1, -2).reshape(b, c, h, w))


def positions(height: int, width: int, like: Tensor) -> Tensor:
    """Position embedding of every pixel: sines and cosines of its row and column, (1, POSITION_CHANNELS, H, W).

    They have 1/2 to 16 periods per frame. The result has the device and dtype of ``like``, but is computed in fp32,
    because angles in bf16 would be off by up to a third of a radian.
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


def _append(x: Tensor, position: Tensor) -> Tensor:
    # len(x) would make the batch size a constant in exported models.
    return torch.cat((x, position.expand(x.shape[0], -1, -1, -1)), dim=1)


class PastEncoder(nn.Module):
    """Encoder of single past frames: half of a U-Net, conditioned on the frame's position in time and its action."""

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
        """Encode the frames.

        Args:
            obs: (B, L, C, H, W), oldest first; H and W are multiples of 2 ** (number of levels - 1).
            action: (B, L) int64, or (B, L, D) float32; None for an encoder without actions.
            cond: (B, cond_channels), the same for all L frames.

        Returns:
            The features at each level i, (B, L, channels[i], H / 2^i, W / 2^i).
        """
        b, length = obs.shape[:2]
        frame_cond = cond[:, None] + self.place_emb.weight  # (B, L, cond_channels)
        if self.act_emb is not None:
            frame_cond = frame_cond + self.act_emb(action)
        x, levels = self.conv_in(obs.flatten(0, 1)), []
        for blocks, downsample in zip(self.blocks, self.downsamples, strict=True):
            x, _ = blocks(downsample(x), frame_cond.flatten(0, 1))
            levels.append(x.unflatten(0, (b, length)))
        return levels
