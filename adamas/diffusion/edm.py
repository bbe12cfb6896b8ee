"""The EDM denoiser: preconditioning, noise law and loss (paper section 3.1; Karras et al. 2022, table 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from adamas.core.errors import UserError
from adamas.core.runtime import fixed_shapes
from adamas.core.types import Batch, to_model_range
from adamas.diffusion.samplers import SamplerConfig, sample_path
from adamas.nn.unet import FrameNetwork, FrameNetworkConfig


@dataclass(frozen=True)
class DenoiserConfig:
    """The denoiser D: its network, its noise and its training targets."""

    network: FrameNetworkConfig = field(default_factory=FrameNetworkConfig)
    sigma_data: float = 0.5
    """Standard deviation of the data."""
    sigma_offset: float = 0.3
    """Standard deviation of the noise shared by all pixels of a channel (offset noise)."""
    log_sigma_mean: float = -0.4
    log_sigma_std: float = 1.2
    sigma_min: float = 2e-3
    """Training noise levels are clipped to [sigma_min, sigma_max]."""
    sigma_max: float = 20.0
    num_autoregressive_steps: int = 1
    """Targets per segment beyond the first, each conditioned on the model's own estimate of the one before."""
    quantise: bool = True
    """Round every denoised estimate down to one of 256 levels, as the published models were trained and used."""

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min <= self.sigma_max:
            raise UserError(f"denoiser: 0 < sigma_min <= sigma_max, got {self.sigma_min}, {self.sigma_max}")
        if self.sigma_data <= 0 or self.sigma_offset < 0 or self.num_autoregressive_steps < 0:
            raise UserError(
                "denoiser: sigma_data > 0, sigma_offset >= 0 and num_autoregressive_steps >= 0, got "
                f"{self.sigma_data}, {self.sigma_offset} and {self.num_autoregressive_steps}"
            )

    @property
    def segment_length(self) -> int:
        """Frames per training segment: L of context, one target and the autoregressive ones."""
        return self.network.context_length + 1 + self.num_autoregressive_steps


class Conditioners(NamedTuple):
    """Preconditioning at given noise levels: c_in, c_out, c_skip (..., 1, 1, 1); c_noise (...)."""

    c_in: Tensor
    c_out: Tensor
    c_skip: Tensor
    c_noise: Tensor


class Denoiser(nn.Module):
    """D(x; sigma, y) = c_skip x + c_out F(c_in x, c_noise, y) (paper equation 6): estimates clean frames."""

    def __init__(self, config: DenoiserConfig, img_channels: int, num_actions: int) -> None:
        super().__init__()
        self.config = config
        self.inner_model = FrameNetwork(config.network, img_channels, num_actions)

    def conditioners(self, sigma: Tensor) -> Conditioners:
        """Preconditioning for noise levels ``sigma``, (B,) or (). Paper equations 9 to 12.

        s = sqrt(sigma^2 + sigma_offset^2);  c_in = 1 / sqrt(s^2 + sigma_data^2);  c_noise = ln(s) / 4;
        c_skip = sigma_data^2 / (s^2 + sigma_data^2);  c_out = s sqrt(c_skip).
        """
        variance = sigma**2 + self.config.sigma_offset**2
        total = variance + self.config.sigma_data**2
        c_skip = self.config.sigma_data**2 / total
        c_out = (variance * c_skip).sqrt()
        c_in, c_out, c_skip = (c[..., None, None, None] for c in (total.rsqrt(), c_out, c_skip))
        return Conditioners(c_in, c_out, c_skip, c_noise=variance.log() / 8)

    def network_output(
        self, noisy: Tensor, cond: Conditioners, prev_obs: Tensor, prev_action: Tensor
    ) -> Tensor:
        """F(c_in x, c_noise, y), (B, C, H, W); ``prev_obs`` (B, L, C, H, W) in [-1, 1]."""
        c_noise = cond.c_noise.expand(len(noisy))
        return self.inner_model(noisy * cond.c_in, c_noise, prev_obs / self.config.sigma_data, prev_action)

    def estimate(self, noisy: Tensor, network_output: Tensor, cond: Conditioners) -> Tensor:
        """The clean frame that a network output stands for, (B, C, H, W), in 256 levels when quantising."""
        denoised = cond.c_skip * noisy + cond.c_out * network_output
        if not self.config.quantise:
            return denoised
        # Truncation, not rounding: what the published models were trained and sampled with.
        return denoised.clamp(-1, 1).add(1).div(2).mul(255).floor().div(255).mul(2).sub(1)

    def denoise(self, noisy: Tensor, sigma: Tensor, prev_obs: Tensor, prev_action: Tensor) -> Tensor:
        """Estimate the clean frame.

        Args:
            noisy: (B, C, H, W).
            sigma: (B,) or (), the noise level.
            prev_obs: (B, L, C, H, W) in [-1, 1], oldest first.
            prev_action: (B, L) int64.

        Returns:
            (B, C, H, W) in [-1, 1].
        """
        cond = self.conditioners(sigma)
        return self.estimate(noisy, self.network_output(noisy, cond, prev_obs, prev_action), cond)

    def add_noise(self, obs: Tensor, sigma: Tensor, generator: Generator) -> Tensor:
        """x = o + sigma_offset n_channel + sigma n_pixel, both N(0, I); obs (B, C, H, W), sigma (B,)."""
        b, c = obs.shape[:2]
        channel_noise = torch.randn((b, c, 1, 1), generator=generator, device=obs.device)
        pixel_noise = torch.randn(obs.shape, generator=generator, device=obs.device)
        return obs + self.config.sigma_offset * channel_noise + sigma[:, None, None, None] * pixel_noise

    def draw_sigma(self, batch_size: int, generator: Generator) -> Tensor:
        """(B,) training noise levels: ln sigma ~ N(mean, std^2) (paper equation 13), clipped."""
        n = torch.randn(batch_size, generator=generator, device=generator.device)
        sigma = (n * self.config.log_sigma_std + self.config.log_sigma_mean).exp()
        return sigma.clamp(self.config.sigma_min, self.config.sigma_max)

    def target_loss(
        self, noisy: Tensor, sigma: Tensor, obs: Tensor, mask: Tensor, prev_obs: Tensor, prev_action: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Loss of one target frame (paper equation 7), and the model's estimate of it (gradient-free).

        The network's target is (o - c_skip x) / c_out; the mean squared error runs over samples in ``mask``.
        """
        cond = self.conditioners(sigma)
        output = self.network_output(noisy, cond, prev_obs, prev_action)
        target = (obs - cond.c_skip * noisy) / cond.c_out
        error = (output - target).square().mean(dim=(1, 2, 3))  # (B,)
        loss = (error * mask).sum() / mask.sum().clamp(min=1)
        return loss, self.estimate(noisy, output, cond).detach()

    def loss(self, batch: Batch, generator: Generator) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Denoising loss over all targets of segments of ``config.segment_length`` frames.

        The model's own estimate replaces each target in the context of the next one, so that it learns to
        continue from its own frames (published code; the paper's algorithm 1 has one target).
        """
        length = self.config.network.context_length
        obs = to_model_range(batch.obs, batch.mask)  # (B, T + 1, C, H, W)
        frames = list(obs.unbind(1))
        losses = []
        for t in range(length, len(frames)):
            sigma = self.draw_sigma(len(obs), generator)
            noisy = self.add_noise(obs[:, t], sigma, generator)
            context = torch.stack(frames[t - length : t], dim=1)  # (B, L, C, H, W)
            action = batch.action[:, t - length : t]  # (B, L)
            loss, frames[t] = self.target_loss(noisy, sigma, obs[:, t], batch.mask[:, t], context, action)
            losses.append(loss)
        total = torch.stack(losses).mean()
        return total, {"loss": total.detach()}


@torch.no_grad()
def sample(
    denoiser: Denoiser,
    prev_obs: Tensor,
    prev_action: Tensor,
    sampler: SamplerConfig,
    initial_noise: Tensor | None = None,
    generator: Generator | None = None,
) -> Tensor:
    """Draw the next frame.

    Args:
        denoiser: the model.
        prev_obs: (B, L, C, H, W) in [-1, 1], oldest first.
        prev_action: (B, L) int64.
        sampler: steps, order and noise levels.
        initial_noise: (B, C, H, W) from N(0, I); drawn from ``generator`` when not given.
        generator: source of the noise; PyTorch's global one when not given.

    Returns:
        (B, C, H, W) in [-1, 1].
    """
    if initial_noise is None:
        shape = prev_obs[:, 0].shape
        initial_noise = torch.randn(shape, generator=generator, device=prev_obs.device)

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        return denoiser.denoise(x, sigma, prev_obs, prev_action)

    with fixed_shapes():
        return sample_path(denoise, initial_noise, sampler, generator)[-1]
