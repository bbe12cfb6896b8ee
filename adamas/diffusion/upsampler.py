"""The second stage of two-stage models, which draws full-resolution frames from the denoiser's small ones.

As in the published code, it is a denoiser without actions. It sees the previous full frames, and the small frame
enlarged by bicubic interpolation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from adamas.core.checks import check_range
from adamas.core.protocols import Loss
from adamas.core.types import Batch, to_model_range
from adamas.diffusion.denoiser import draw_path
from adamas.diffusion.edm import Edm, EdmConfig
from adamas.diffusion.samplers import SamplerConfig
from adamas.nn.unet import FrameNetworkConfig


@dataclass(frozen=True, kw_only=True)
class UpsamplerConfig(EdmConfig):
    """The configuration of a denoiser, plus the upsampling factor and the sampler."""

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
    """Height and width of a full frame divided by those of a small one, at least 1."""
    sampler: SamplerConfig = field(
        default_factory=lambda: SamplerConfig(
            num_steps=10, sigma_min=1.0, s_churn=10.0, s_tmin=1.0, s_tmax=5.0, s_noise=0.9
        )
    )
    """How a full frame is drawn from noise."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("upsampler.factor", self.factor, least=1)


class Upsampler(Edm):
    """A model that draws a full-resolution frame, given the small frame and the L previous full frames.

    Full frames have the size (H, W), small frames (h, w), with H = factor h and W = factor w.
    """

    config: UpsamplerConfig

    def __init__(self, config: UpsamplerConfig, img_channels: int) -> None:
        super().__init__(config, img_channels, action_spec=None, extra_frames=1)

    def shrink(self, obs: Tensor) -> Tensor:
        """Make small training frames by antialiased bicubic interpolation, rounded (the published code truncates).

        Args:
            obs: (..., C, H, W) uint8.

        Returns:
            (..., C, h, w) uint8.
        """
        factor, (height, width) = self.config.factor, obs.shape[-2:]
        size = (height // factor, width // factor)
        small = F.interpolate(
            obs.flatten(0, -4).float(), size, mode="bicubic", antialias=True
        )  # (K, C, h, w); values may slightly exceed [0, 255]
        return small.round().clamp(0, 255).byte().reshape(*obs.shape[:-2], *size)

    def on_small_frames(self, loss: Loss, full_size: tuple[int, int]) -> Loss:
        """Wrap ``loss`` so that batches of full frames (H, W) are shrunk first; small frames are used as they are."""

        def small_loss(batch: Batch, generator: Generator) -> tuple[Tensor, Mapping[str, Tensor]]:
            is_full = batch.obs.shape[-2:] == full_size
            return loss(replace(batch, obs=self.shrink(batch.obs)) if is_full else batch, generator)

        return small_loss

    def enlarge(self, low_res: Tensor) -> Tensor:
        """Enlarge (B, C, h, w) to (B, C, H, W) by bicubic interpolation; values may slightly exceed [-1, 1]."""
        return F.interpolate(low_res, scale_factor=float(self.config.factor), mode="bicubic")

    def context(self, prev_obs: Tensor, low_res: Tensor) -> Tensor:
        """The ``prev_obs`` of the other methods: the previous full frames, then the enlarged small frame.

        Args:
            prev_obs: (B, L, C, H, W) in [-1, 1], oldest first.
            low_res: (B, C, h, w) in [-1, 1].

        Returns:
            (B, L + 1, C, H, W).
        """
        return torch.cat((prev_obs, self.enlarge(low_res)[:, None]), dim=1)

    def loss(self, batch: Batch, generator: Generator) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Denoising loss over all targets of segments of ``config.segment_length`` full frames.

        The full frames in the context may be the model's own estimates. The small frames are always real.
        """
        small = to_model_range(self.shrink(batch.obs), batch.mask)  # (B, T + 1, C, h, w)
        enlarged = self.enlarge(small.flatten(0, 1)).reshape(batch.obs.shape)  # (B, T + 1, C, H, W)
        obs = to_model_range(batch.obs, batch.mask)
        return self.unrolled_loss(obs, batch.mask, None, generator, extra=enlarged)

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
            prev_obs: (B, L, C, H, W) in [-1, 1], the previous full frames, oldest first.
            low_res: (B, C, h, w) in [-1, 1], the small frame.
            sampler: steps, method and noise levels.
            initial_noise: (B, C, H, W) from N(0, I); drawn from ``generator`` when not given.
            generator: source of the noise; PyTorch's global one when not given.

        Returns:
            (B, C, H, W) in [-1, 1].
        """
        return draw_path(self, self.context(prev_obs, low_res), None, sampler, initial_noise, generator)[-1]
