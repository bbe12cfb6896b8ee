"""The U-Net, and the network that predicts a frame from noise, past frames and past actions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adamas.core.actions import ActionSpec
from adamas.core.checks import check_range
from adamas.core.errors import UserError
from adamas.core.runtime import in_chosen_mode
from adamas.nn.actions import action_encoder
from adamas.nn.blocks import Downsample, GroupNorm, ResBlocks, Upsample, check_channels, conv3x3
from adamas.nn.cross_attention import CrossAttention2d, PastEncoder
from adamas.nn.embeddings import FourierFeatures


class UNet(nn.Module):
    """U-Net over residual blocks (Ronneberger et al. 2015; ADM, Dhariwal and Nichol 2021).

    Level i has ``depths[i]`` blocks of ``channels[i]`` in the downsampling half, and one more in the upsampling half.
    Skip connections concatenate the level's input, and the output of each of its blocks, to the inputs of the blocks
    in the upsampling half. The two blocks in the middle always have self-attention. With ``cross_attention``, the
    downsampling half also attends to past frames, at every level but the first.
    """

    def __init__(
        self,
        cond_channels: int,
        depths: Sequence[int],
        channels: Sequence[int],
        attn_depths: Sequence[bool],
        cross_attention: bool = False,
    ) -> None:
        super().__init__()
        down, up = [], []
        for i, n in enumerate(depths):
            c_in, c = channels[max(0, i - 1)], channels[i]
            attn = attn_depths[i]
            down.append(ResBlocks([c_in] + [c] * (n - 1), [c] * n, cond_channels, attn))
            up.append(ResBlocks([2 * c] * n + [c_in + c], [c] * n + [c_in], cond_channels, attn))
        self.d_blocks = nn.ModuleList(down)
        self.mid_blocks = ResBlocks([channels[-1]] * 2, [channels[-1]] * 2, cond_channels, attn=True)
        self.u_blocks = nn.ModuleList(reversed(up))
        self.downsamples = nn.ModuleList([nn.Identity(), *(Downsample(c) for c in channels[:-1])])
        self.upsamples = nn.ModuleList([nn.Identity(), *(Upsample(c) for c in reversed(channels[:-1]))])
        self.cross = nn.ModuleList([CrossAttention2d(c) for c in channels[1:]] if cross_attention else [])

    def pad(self, x: Tensor) -> Tensor:
        """Pad (..., H, W) with zeros at the bottom and on the right, so that every level can be halved exactly."""
        height, width = x.shape[-2:]
        factor = 2 ** (len(self.d_blocks) - 1)
        return F.pad(x, (0, -width % factor, 0, -height % factor))

    def forward(self, x: Tensor, cond: Tensor, past: Sequence[Tensor] = ()) -> Tensor:
        """Compute the features of a frame.

        Args:
            x: (B, channels[0], H, W), where H and W may be any size.
            cond: (B, cond_channels).
            past: for cross-attention, encoded, padded past frames per level, (B, L, channels[i], H / 2^i, W / 2^i).

        Returns:
            (B, channels[0], H, W).
        """
        height, width = x.shape[-2:]
        x = self.pad(x)
        skips = []
        for i, (blocks, downsample) in enumerate(zip(self.d_blocks, self.downsamples, strict=True)):
            x_in = downsample(x)
            x, outputs = blocks(x_in, cond)
            if i and self.cross:
                x = outputs[-1] = self.cross[i - 1](x, past[i])
            skips.append([x_in, *outputs])
        x, _ = self.mid_blocks(x, cond)
        for blocks, upsample, level in zip(self.u_blocks, self.upsamples, reversed(skips), strict=True):
            x, _ = blocks(upsample(x), cond, level[::-1])
        return x[..., :height, :width]


@dataclass(frozen=True, kw_only=True)
class FrameNetworkConfig:
    """Sizes of the network inside the denoiser."""

    context_length: int = 4
    """Number L of past frames and actions that the network sees, at least 1."""
    cond_channels: int = 256
    """Size of the vector that carries noise level and actions into every block. It must be a multiple of twice
    context_length."""
    depths: tuple[int, ...] = (2, 2, 2, 2)
    """Number of residual blocks at each level, from the finest level to the coarsest."""
    channels: tuple[int, ...] = (64, 64, 64, 64)
    """Number of channels at each level, from the finest level to the coarsest. Each level has half the height and
    width of the one before."""
    attn_depths: tuple[bool, ...] = (False, False, False, False)
    """Whether the blocks of each level have self-attention. The middle of the U-Net always has it."""
    noise_cond: bool = False
    """Whether the network receives the noise level of its past frames, as in the published two-stage model."""
    context: Literal["frames", "cross_attention"] = "frames"
    """How the network sees past frames (paper, appendix M.2). frames: as channels of its input. cross_attention:
    encoded one by one and attended to on every level but the first, which costs more computation and reaches objects
    that moved far."""

    def __post_init__(self) -> None:
        if not len(self.depths) == len(self.channels) == len(self.attn_depths) >= 1:
            raise UserError(
                "`network.depths`, `network.channels` and `network.attn_depths` need one entry per level, got "
                f"{len(self.depths)}, {len(self.channels)} and {len(self.attn_depths)}"
            )
        check_range("network.context_length", self.context_length, least=1)
        check_channels("`network.channels`", self.channels)
        above = (self.channels[0], *self.channels)
        joined = [2 * c for c in self.channels] + [a + c for a, c in zip(above, self.channels, strict=False)]
        check_channels("`network.channels`, where skip connections concatenate them", joined)
        if self.context == "cross_attention" and len(self.channels) < 2:
            raise UserError(
                "`network.context` cross_attention needs two levels; add one to `network.channels`"
            )
        if self.cond_channels % (2 * self.context_length):
            raise UserError(
                f"`network.cond_channels` is {self.cond_channels}; it must be a multiple of {2 * self.context_length}, "
                f"twice `network.context_length`, such as {2 * self.context_length * 8}"
            )


class FrameNetwork(nn.Module):
    """F in the paper: the network inside the denoiser. It sees past frames, past actions and a noisy next frame.

    Depending on ``config.context``, past frames are concatenated with the noisy frame along the channels (oldest
    first, noisy frame last) or attended to by cross-attention. Each of the L actions has its own ``cond_channels / L``
    values in the conditioning vector, so the network knows their order.

    Args:
        config: sizes of the network.
        img_channels: C of a frame.
        action_spec: describes the actions; None for a network without actions.
        extra_frames: number of further frames between the past frames and the noisy one.
    """

    def __init__(
        self,
        config: FrameNetworkConfig,
        img_channels: int,
        action_spec: ActionSpec | None,
        extra_frames: int = 0,
    ) -> None:
        super().__init__()
        cond, length, channels = config.cond_channels, config.context_length, config.channels
        self.noise_emb = FourierFeatures(cond)
        self.noise_cond_emb = FourierFeatures(cond) if config.noise_cond else None
        self.act_emb = (
            None
            if action_spec is None
            else nn.Sequential(action_encoder(action_spec, cond // length), nn.Flatten())
        )
        self.cond_proj = nn.Sequential(nn.Linear(cond, cond), nn.SiLU(), nn.Linear(cond, cond))
        attends = config.context == "cross_attention"
        self.past = (
            PastEncoder(img_channels, length, cond, config.depths, channels, action_spec) if attends else None
        )
        stacked = extra_frames + 1 + (0 if attends else length)
        self.conv_in = conv3x3(stacked * img_channels, channels[0])
        self.unet = UNet(cond, config.depths, channels, config.attn_depths, attends)
        self.norm_out = GroupNorm(channels[0])
        self.conv_out = conv3x3(channels[0], img_channels)
        nn.init.zeros_(self.conv_out.weight)

    @in_chosen_mode
    def forward(
        self,
        noisy: Tensor,
        c_noise: Tensor,
        prev_obs: Tensor,
        prev_action: Tensor | None,
        c_noise_cond: Tensor | None = None,
    ) -> Tensor:
        """Compute F for a noisy frame.

        Args:
            noisy: (B, C, H, W), already scaled to unit variance.
            c_noise: (B,), the transformed noise level.
            prev_obs: (B, L, C, H, W), already scaled, oldest first, followed by the extra frames.
            prev_action: (B, L) int64, or (B, L, D) float32, the actions taken in the past frames; None for a network
                without actions.
            c_noise_cond: (B,), the transformed noise level of the past frames; None stands for 0.

        Returns:
            (B, C, H, W).

        Raises:
            ValueError: past frames have a noise level, but ``noise_cond`` is not set.
        """
        embedded = self.noise_emb(c_noise)  # (B, cond_channels)
        if self.noise_cond_emb is not None:
            embedded = embedded + self.noise_cond_emb(
                torch.zeros_like(c_noise) if c_noise_cond is None else c_noise_cond
            )
        elif c_noise_cond is not None:
            raise ValueError("this network is not conditioned on noise in past frames; set noise_cond")
        if self.act_emb is not None:
            embedded = embedded + self.act_emb(prev_action)
        cond, past = self.cond_proj(embedded), []
        if self.past is not None:
            seen, prev_obs = prev_obs.tensor_split([self.past.place_emb.num_embeddings], dim=1)
            past = self.past(self.unet.pad(seen), prev_action, cond)
        x = self.conv_in(torch.cat((prev_obs.flatten(1, 2), noisy), dim=1))
        x = self.unet(x, cond, past)
        return self.conv_out(F.silu(self.norm_out(x)))
