"""An encoder and a decoder that treat every patch of a frame alone, for games of few pixels.

In the published autoencoder every token sees the whole frame. In a game of few pixels it spreads the content of the
frame over all tokens: the same pixels become other tokens in almost every frame, and the dynamics cannot predict them.
Here the same pixels always become the same token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from adamas.core.checks import check_minima
from adamas.nn.blocks import conv1x1


@dataclass(frozen=True, kw_only=True)
class PatchAutoencoderConfig:
    """Sizes of the encoder and of the decoder of patches."""

    architecture: Literal["patches"] = "patches"
    """Kind of autoencoder. convolutions: the published one, where every token sees the whole frame. patches: a small
    network for every patch, where a token sees its own pixels alone; for games of few pixels."""
    patch_size: int = 2
    """Height and width of a patch, in pixels."""
    hidden_channels: int = 128
    """Number of values in the hidden layers."""
    latent_channels: int = 32
    """Number of values that the encoder gives for a patch, and that the decoder takes."""

    def __post_init__(self) -> None:
        check_minima("autoencoder.", self, patch_size=1, hidden_channels=1, latent_channels=1)

    @property
    def factor(self) -> int:
        """Height and width of a token, in pixels."""
        return self.patch_size

    @property
    def num_blocks(self) -> int:
        """Number of layers of the encoder and of the decoder together."""
        return 2 * 3

    def build(self, img_channels: int, height: int) -> tuple[nn.Module, nn.Module]:
        """The encoder and the decoder, with random weights. ``height`` has no influence."""
        return PatchEncoder(self, img_channels), PatchDecoder(self, img_channels)


class PatchEncoder(nn.Module):
    """Frames to a vector for every patch."""

    def __init__(self, config: PatchAutoencoderConfig, img_channels: int) -> None:
        super().__init__()
        size, width = config.patch_size, config.hidden_channels
        self.conv_in = nn.Conv2d(img_channels, width, kernel_size=size, stride=size)
        self.conv_mid = conv1x1(width, width)
        self.conv_out = conv1x1(width, config.latent_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) in [-1, 1] -> (B, latent_channels, h, w). Always in fp32, as the published encoder."""
        return self.conv_out(F.silu(self.conv_mid(F.silu(self.conv_in(x)))))


class PatchDecoder(nn.Module):
    """A vector for every patch to frames."""

    def __init__(self, config: PatchAutoencoderConfig, img_channels: int) -> None:
        super().__init__()
        width = config.hidden_channels
        self.patch_size = config.patch_size
        self.conv_in = conv1x1(config.latent_channels, width)
        self.conv_mid = conv1x1(width, width)
        self.conv_out = conv1x1(width, img_channels * config.patch_size**2)

    def forward(self, z: Tensor) -> Tensor:
        """(B, latent_channels, h, w) -> (B, C, H, W), trained towards [-1, 1] but not limited to it. Always in fp32."""
        x = self.conv_out(F.silu(self.conv_mid(F.silu(self.conv_in(z)))))
        return F.pixel_shuffle(x, self.patch_size)
