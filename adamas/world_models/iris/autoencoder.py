"""The convolutional encoder and decoder of the tokenizer: a frame to a small grid of vectors, and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from adamas.core.checks import check_minima
from adamas.core.errors import UserError
from adamas.core.runtime import in_chosen_mode
from adamas.nn.blocks import Upsample, conv1x1, conv3x3

GROUP_NORM_EPS = 1e-6


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """Sizes of the encoder and of the decoder, which mirror each other."""

    architecture: Literal["convolutions"] = "convolutions"
    """Kind of autoencoder. convolutions: the published one, where every token sees the whole frame. patches: a small
    network for every patch, where a token sees its own pixels alone; for games of few pixels."""
    channels: tuple[int, ...] = (64, 64, 64, 64, 64)
    """Number of channels at each level, from full size to the size of the tokens. Each level but the last is followed
    by one that has half its height and width."""
    num_res_blocks: int = 2
    """Number of residual blocks at each level of the encoder, at least 1. The decoder has one more at each level."""
    attention_sizes: tuple[int, ...] = (8, 16)
    """Heights, in pixels, of the levels whose residual blocks are each followed by self-attention."""
    latent_channels: int = 512
    """Number of channels that the encoder gives and the decoder takes."""
    num_groups: int = 32
    """Number of groups of the group normalisation; it must divide the number of channels of every level."""

    def __post_init__(self) -> None:
        check_minima("autoencoder.", self, num_res_blocks=1, latent_channels=1, num_groups=1)
        if not self.channels:
            raise UserError("`autoencoder.channels` is empty; give it at least one level")
        for count in self.channels:
            if count < 1 or count % self.num_groups:
                raise UserError(
                    f"`autoencoder.channels` has {count}, which cannot be split into {self.num_groups} equal groups; "
                    "change `autoencoder.num_groups`"
                )

    @property
    def factor(self) -> int:
        """Height and width of a token, in pixels."""
        return 2 ** (len(self.channels) - 1)

    @property
    def num_blocks(self) -> int:
        """Number of residual blocks."""
        middles = 2 * 2  # of encoder and decoder
        return len(self.channels) * (2 * self.num_res_blocks + 1) + middles

    def build(self, img_channels: int, height: int) -> tuple[nn.Module, nn.Module]:
        """The encoder and the decoder, with random weights, for frames of ``height`` pixels."""
        return Encoder(self, img_channels, height), Decoder(self, img_channels, height)

    def sizes(self, height: int) -> list[int]:
        """The heights of the levels of frames of ``height`` pixels, in the order of ``channels``."""
        return [height // 2**level for level in range(len(self.channels))]


class ResBlock(nn.Module):
    """Two normalised 3x3 convolutions around a shortcut."""

    def __init__(self, in_channels: int, out_channels: int, num_groups: int) -> None:
        super().__init__()
        self.norm1 = _norm(in_channels, num_groups)
        self.conv1 = conv3x3(in_channels, out_channels)
        self.norm2 = _norm(out_channels, num_groups)
        self.conv2 = conv3x3(out_channels, out_channels)
        changes = in_channels != out_channels
        self.nin_shortcut = conv1x1(in_channels, out_channels) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H, W)."""
        h = self.conv1(F.silu(self.norm1(x)))
        return self.nin_shortcut(x) + self.conv2(F.silu(self.norm2(h)))


class Attention(nn.Module):
    """Self-attention with one head among all pixels."""

    def __init__(self, channels: int, num_groups: int) -> None:
        super().__init__()
        self.norm = _norm(channels, num_groups)
        self.q = conv1x1(channels, channels)
        self.k = conv1x1(channels, channels)
        self.v = conv1x1(channels, channels)
        self.proj_out = conv1x1(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        normalised = self.norm(x)
        query, key, value = (  # (B, H W, C) each
            layer(normalised).flatten(2).transpose(1, 2) for layer in (self.q, self.k, self.v)
        )
        found = F.scaled_dot_product_attention(query, key, value)
        return x + self.proj_out(found.transpose(1, 2).reshape(x.shape))


class Downsample(nn.Module):
    """Halve height and width by a convolution of stride 2, padded only at the right and at the bottom."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel_size=3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H / 2, W / 2)."""
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Level(nn.Module):
    """The residual blocks of one level, each followed by attention if the level has any."""

    def __init__(
        self, in_channels: int, channels: int, num_blocks: int, attention: bool, num_groups: int
    ) -> None:
        super().__init__()
        inputs = (in_channels, *(channels for _ in range(num_blocks - 1)))
        self.block = nn.ModuleList(ResBlock(count, channels, num_groups) for count in inputs)
        self.attn = nn.ModuleList(Attention(channels, num_groups) for _ in inputs if attention)
        self.downsample: nn.Module = nn.Identity()
        self.upsample: nn.Module = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, C, H', W')."""
        for i, block in enumerate(self.block):
            x = block(x)
            if self.attn:
                x = self.attn[i](x)
        return self.upsample(self.downsample(x))


class Middle(nn.Module):
    """The blocks at the smallest size, between encoder and tokens and between tokens and decoder."""

    def __init__(self, channels: int, num_groups: int) -> None:
        super().__init__()
        self.block_1 = ResBlock(channels, channels, num_groups)
        self.attn_1 = Attention(channels, num_groups)
        self.block_2 = ResBlock(channels, channels, num_groups)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return self.block_2(self.attn_1(self.block_1(x)))


class Encoder(nn.Module):
    """Frames to a grid of vectors that is smaller by a factor of 2 for every level but the last.

    It never computes in bf16: rounded vectors are nearer to other codes, so an agent trained in bf16 would read other
    tokens where it plays in fp32. On CUDA, ``runtime.precision`` tf32 rounds its products, and some tokens may differ
    from those of a CPU.
    """

    def __init__(self, config: AutoencoderConfig, img_channels: int, height: int) -> None:
        super().__init__()
        channels, groups = config.channels, config.num_groups
        self.conv_in = conv3x3(img_channels, channels[0])
        self.down = nn.ModuleList()
        for level, size in enumerate(config.sizes(height)):
            before, attention = channels[max(0, level - 1)], size in config.attention_sizes
            block = Level(before, channels[level], config.num_res_blocks, attention, groups)
            if level < len(channels) - 1:
                block.downsample = Downsample(channels[level])
            self.down.append(block)
        self.mid = Middle(channels[-1], groups)
        self.norm_out = _norm(channels[-1], groups)
        self.conv_out = conv3x3(channels[-1], config.latent_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) in [-1, 1] -> (B, latent_channels, h, w)."""
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(self.mid(x))))


class Decoder(nn.Module):
    """A grid of vectors to frames. Level 0 is the full size, as in the encoder: levels run from last to first."""

    def __init__(self, config: AutoencoderConfig, img_channels: int, height: int) -> None:
        super().__init__()
        channels, groups = config.channels, config.num_groups
        last = len(channels) - 1
        self.conv_in = conv3x3(config.latent_channels, channels[-1])
        self.mid = Middle(channels[-1], groups)
        self.up = nn.ModuleList()
        for level, size in enumerate(config.sizes(height)):
            before, attention = channels[min(last, level + 1)], size in config.attention_sizes
            block = Level(before, channels[level], config.num_res_blocks + 1, attention, groups)
            if level > 0:
                block.upsample = Upsample(channels[level])
            self.up.append(block)
        self.norm_out = _norm(channels[0], groups)
        self.conv_out = conv3x3(channels[0], img_channels)

    @in_chosen_mode
    def forward(self, z: Tensor) -> Tensor:
        """(B, latent_channels, h, w) -> (B, C, H, W), trained towards [-1, 1] but not limited to it."""
        x = self.mid(self.conv_in(z))
        for level in _reversed(self.up):
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(x)))


def _norm(channels: int, num_groups: int) -> nn.GroupNorm:
    return nn.GroupNorm(num_groups, channels, eps=GROUP_NORM_EPS)


def _reversed(modules: nn.ModuleList) -> Iterator[nn.Module]:
    return (modules[i] for i in reversed(range(len(modules))))
