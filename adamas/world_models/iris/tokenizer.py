"""The tokenizer: a discrete autoencoder (VQ-VAE) that turns a frame into a few tokens, and tokens into a frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adamas.core.checks import check_minima, check_range
from adamas.core.errors import UserError
from adamas.core.types import to_model_range
from adamas.nn.blocks import conv1x1
from adamas.world_models.iris.autoencoder import AutoencoderConfig
from adamas.world_models.iris.patches import PatchAutoencoderConfig

Distance = Callable[[Tensor, Tensor], Tensor]
"""A perceptual distance: two sets of pictures in [-1, 1], (B, C, H, W) each, to (B,)."""


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """Sizes of the tokenizer."""

    vocab_size: int = 512
    """Number of different tokens, V, at least 2."""
    embed_dim: int = 512
    """Number of values in the code vector of a token, at least 1."""
    code_range: float = 1 / 512
    """Range of the code vectors before training: their values are drawn uniformly between minus and plus this number,
    above 0. The published code takes one over the size of the vocabulary. With a larger number, more codes are used
    from the start. If it is too large, most codes are never used."""
    autoencoder: AutoencoderConfig | PatchAutoencoderConfig = field(default_factory=AutoencoderConfig)
    reconstruction: Literal["absolute", "squared"] = "absolute"
    """Error of a pixel in the loss. absolute: as published. squared: for frames whose objects are few pixels on a black
    ground, where the absolute error, without a perceptual distance beside it, prefers black frames."""
    commitment_weight: float = 1.0
    """Weight of the term that pulls the encoder's vectors towards their codes. 0 leaves it out."""

    def __post_init__(self) -> None:
        check_minima("tokenizer.", self, vocab_size=2, embed_dim=1, commitment_weight=0)
        check_range("tokenizer.code_range", self.code_range, above=0)

    def grid(self, obs_shape: tuple[int, int, int]) -> tuple[int, int]:
        """Height and width, in tokens, of frames (C, H, W). Raises UserError if tokens do not fill the frame."""
        _, height, width = obs_shape
        factor = self.autoencoder.factor
        if height % factor or width % factor:
            raise UserError(
                f"frames of {height}x{width} pixels cannot be divided into tokens of {factor}x{factor}; use multiples "
                f"of {factor} pixels, or smaller tokens, by other sizes in `world_model.tokenizer.autoencoder`"
            )
        return height // factor, width // factor


class Encoded(NamedTuple):
    """What the encoder makes of B frames.

    Attributes:
        z: (B, E, h, w), the encoder's vectors.
        codes: (B, E, h, w), the code nearest to each of them.
        tokens: (B, h w) int64, the numbers of these codes, row by row.
    """

    z: Tensor
    codes: Tensor
    tokens: Tensor


class Tokenizer(nn.Module):
    """A frame of (C, H, W) pixels as K = h w tokens out of a vocabulary of V (paper section 2.1)."""

    def __init__(self, config: TokenizerConfig, obs_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.config = config
        img_channels, height, _ = obs_shape
        self.grid = config.grid(obs_shape)
        latent = config.autoencoder.latent_channels
        self.encoder, self.decoder = config.autoencoder.build(img_channels, height)
        self.pre_quant_conv = conv1x1(latent, config.embed_dim)
        self.embedding = nn.Embedding(config.vocab_size, config.embed_dim)
        self.post_quant_conv = conv1x1(config.embed_dim, latent)
        nn.init.uniform_(self.embedding.weight, -config.code_range, config.code_range)

    @property
    def num_tokens(self) -> int:
        """K, the number of tokens of a frame."""
        return self.grid[0] * self.grid[1]

    def quantise(self, x: Tensor) -> Encoded:
        """Encode frames (B, C, H, W) in [-1, 1], and replace each vector by the code nearest to it."""
        z = self.pre_quant_conv(self.encoder(x))
        tokens = self.distances(z).argmin(dim=1).view(len(x), -1)
        return Encoded(z, self.codes(tokens), tokens)

    def distances(self, z: Tensor) -> Tensor:
        """Squared distances of vectors (B, E, h, w) from all codes: (B h w, V)."""
        vectors, codes = z.permute(0, 2, 3, 1).flatten(0, 2), self.embedding.weight  # (B h w, E), (V, E)
        return vectors.square().sum(1, keepdim=True) + codes.square().sum(1) - 2 * vectors @ codes.T

    def codes(self, tokens: Tensor) -> Tensor:
        """The code vectors of tokens, (B, K) int64, as a grid: (B, E, h, w)."""
        return self.embedding(tokens).transpose(1, 2).unflatten(2, self.grid)

    @torch.no_grad()
    def encode(self, obs: Tensor) -> Tensor:
        """The tokens of frames (B, C, H, W) uint8: (B, K) int64."""
        return self.quantise(to_model_range(obs)).tokens

    @torch.no_grad()
    def decode(self, tokens: Tensor) -> Tensor:
        """The frames that tokens (B, K) stand for: (B, C, H, W) float32 in [-1, 1], not rounded to 256 levels."""
        return self.decoder(self.post_quant_conv(self.codes(tokens))).clamp(-1, 1)

    @torch.no_grad()
    def reconstruct(self, obs: Tensor) -> Tensor:
        """Frames (B, C, H, W) uint8 as the tokens keep them: (B, C, H, W) float32 in [-1, 1]."""
        return self.decode(self.encode(obs))

    def loss(self, obs: Tensor, distance: Distance | None = None) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Loss of frames (N, C, H, W) uint8 (paper section 2.1 and appendix A).

        Decoder gradients pass the quantisation unchanged to the encoder (straight-through estimator).

        Args:
            obs: the frames.
            distance: the perceptual distance; None leaves its term out.
        """
        x = to_model_range(obs)
        z, codes, tokens = self.quantise(x)
        y = self.decoder(self.post_quant_conv(z + (codes - z).detach()))
        codebook = F.mse_loss(codes, z.detach())
        commitment = F.mse_loss(z, codes.detach())
        error = F.l1_loss if self.config.reconstruction == "absolute" else F.mse_loss
        terms = {
            "loss_quantisation": codebook + self.config.commitment_weight * commitment,
            "loss_reconstruction": error(y, x),
        }
        if distance is not None:
            terms["loss_perceptual"] = distance(x, y).mean()
        loss = torch.stack(list(terms.values())).sum()
        used = torch.unique(tokens).numel() / self.config.vocab_size
        metrics = {name: term.detach() for name, term in terms.items()}
        return loss, {"loss": loss.detach(), **metrics, "tokens_used": loss.new_tensor(used)}
