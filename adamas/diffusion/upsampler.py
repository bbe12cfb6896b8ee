"""The second stage of two-stage models: frames at full resolution from the denoiser's small ones (published code).

It is a denoiser without actions, which sees the full frames before, and the small frame enlarged by bicubic
interpolation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from adamas.core.errors import UserError
from adamas.core.types import to_model_range
from adamas.diffusion.denoiser import DenoiserConfig, draw_path
from adamas.diffusion.edm import Edm
from adamas.diffusion.samplers import SamplerConfig
from adamas.nn.unet import FrameNetworkConfig


@dataclass(frozen=True)
class UpsamplerConfig(DenoiserConfig):
    """As a denoiser's. The defaults are those of the published model of CS:GO, for 150x280 frames."""

    network: FrameNetworkConfig = field(
        default_factory=lambda: FrameNetworkConfig(
            context_length=1,
            cond_channels=2048,
            channels=(64, 64, 128, 256),
            attn_depths=(False, False, False, True),
            noise_cond=True,
        )
    )
    sigma_offset: float = 0.1
    log_sigma_mean: float = -1.2
    factor: int = 5
    """Height and width of a full frame, divided by the small one's."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.diffusion != "edm" or self.factor < 1:
            raise UserError(
                f"upsampler: diffusion edm and factor >= 1, got {self.diffusion} and {self.factor}"
            )


class Upsampler(Edm):
    """Draws a frame at full resolution, given the small one and the L full frames before it.

    Letters: (H, W) is the size of full frames, (h, w) that of small ones; H = factor h, W = factor w.
    """

    config: UpsamplerConfig

    def __init__(self, config: UpsamplerConfig, img_channels: int) -> None:
        super().__init__(config, img_channels, action_spec=None, extra_frames=1)

    def enlarge(self, low_res: Tensor) -> Tensor:
        """Bicubic interpolation: (B, C, h, w) -> (B, C, H, W); values may leave [-1, 1] a little."""
        return F.interpolate(low_res, scale_factor=float(self.config.factor), mode="bicubic")

    def context(self, prev_obs: Tensor, low_res: Tensor) -> Tensor:
        """What the other methods take as ``prev_obs``: the full frames before, then the enlarged small one.

        Args:
            prev_obs: (B, L, C, H, W) in [-1, 1], oldest first.
            low_res: (B, C, h, w) in [-1, 1].

        Returns:
            (B, L + 1, C, H, W).
        """
        return torch.cat((prev_obs, self.enlarge(low_res)[:, None]), dim=1)

    def loss(
        self, low_res: Tensor, obs: Tensor, mask: Tensor, generator: Generator
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Denoising loss over all targets of segments of ``config.segment_length`` frames.

        The full frames before a target may be the model's own estimates; the small frames are always real.

        Args:
            low_res: (B, T + 1, C, h, w) uint8.
            obs: (B, T + 1, C, H, W) uint8, the same frames at full resolution.
            mask: (B, T + 1) bool, which frames are real.
            generator: source of noise and noise levels.
        """
        small = to_model_range(low_res, mask)
        enlarged = self.enlarge(small.flatten(0, 1)).reshape(obs.shape)  # (B, T + 1, C, H, W)
        return self.unrolled_loss(to_model_range(obs, mask), mask, None, generator, extra=enlarged)

    def sample(
        self,
        prev_obs: Tensor,
        low_res: Tensor,
        sampler: SamplerConfig,
        initial_noise: Tensor | None = None,
        generator: Generator | None = None,
    ) -> Tensor:
        """Draw the full frame.

        Args:
            prev_obs: (B, L, C, H, W) in [-1, 1], the full frames before, oldest first.
            low_res: (B, C, h, w) in [-1, 1], the small frame.
            sampler: steps, order and noise levels.
            initial_noise: (B, C, H, W) from N(0, I); drawn from ``generator`` when not given.
            generator: source of the noise; PyTorch's global one when not given.

        Returns:
            (B, C, H, W) in [-1, 1].
        """
        return draw_path(self, self.context(prev_obs, low_res), None, sampler, initial_noise, generator)[-1]
