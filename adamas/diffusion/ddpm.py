"""The DDPM denoiser, for comparison: predicts the noise in a frame (Ho et al. 2020; paper section 5.1).

It differs from EDM in how noise is added, in what the network predicts and in how a frame is sampled. The network, the
context frames and the training on the model's own estimates are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Generator, Tensor

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.diffusion.denoiser import Denoiser, FrameDiffusionConfig, masked_error, offset_noise, to_levels
from adamas.diffusion.samplers import SamplerConfig

NUM_TIMESTEPS = 1000
# The variance of the noise that a timestep adds grows linearly from the first timestep to the last.
BETA_FIRST, BETA_LAST = 1e-4, 0.02


_OF_EDM = {
    "sigma_data",
    "sigma_change",
    "log_sigma_mean",
    "log_sigma_std",
    "sigma_min",
    "sigma_max",
    "noise_previous_obs",
}


@dataclass(frozen=True, kw_only=True)
class DdpmConfig(FrameDiffusionConfig):
    """The DDPM denoiser (Ho et al. 2020): network and training targets. Its noise levels are fixed."""

    diffusion: Literal["ddpm"] = "ddpm"
    """Kind of diffusion model. edm: the one of the paper (Karras et al. 2022). ddpm: a network that predicts the
    noise (Ho et al. 2020), as a baseline."""

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        if self.network.noise_cond:
            raise UserError("`network.noise_cond` is for edm, not ddpm; leave it out")

    @classmethod
    def upgrade(cls, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """The fields of a file without those of EDM, which files from before version 0.2 hold as well."""
        return {key: value for key, value in data.items() if key not in _OF_EDM}


class DdpmDenoiser(Denoiser):
    """Noise prediction: x_t = sqrt(abar_t) o + sqrt(1 - abar_t) n, and the network estimates n from x_t and t."""

    alphas_cumprod: Tensor
    """(1000,): abar_t, the share of a frame's variance that remains at timestep t."""

    def __init__(self, config: DdpmConfig, img_channels: int, action_spec: ActionSpec) -> None:
        super().__init__(config, img_channels, action_spec)
        betas = torch.linspace(BETA_FIRST, BETA_LAST, NUM_TIMESTEPS)
        self.register_buffer("alphas_cumprod", (1 - betas).cumprod(dim=0), persistent=False)

    def predict_noise(
        self, noisy: Tensor, timestep: Tensor, prev_obs: Tensor, prev_action: Tensor | None
    ) -> Tensor:
        """Estimate the noise n in ``noisy`` (B, C, H, W) at ``timestep`` (B,) in [0, 1000); returns (B, C, H, W)."""
        return self.inner_model(noisy, (timestep + 1) / NUM_TIMESTEPS, prev_obs, prev_action)

    def add_noise(self, obs: Tensor, timestep: Tensor, noise: Tensor) -> Tensor:
        """Compute x_t = sqrt(abar_t) o + sqrt(1 - abar_t) n; ``timestep`` is (B,)."""
        abar = self.alphas_cumprod[timestep][:, None, None, None]
        return abar.sqrt() * obs + (1 - abar).sqrt() * noise

    def estimate(self, noisy: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """Invert :meth:`add_noise`: the clean frame, clipped to [-1, 1]; ``timestep`` is (B,)."""
        abar = self.alphas_cumprod[timestep][:, None, None, None]
        return ((noisy - (1 - abar).sqrt() * noise) / abar.sqrt()).clamp(-1, 1)

    def target_loss(
        self,
        noise: Tensor,
        timestep: Tensor,
        obs: Tensor,
        mask: Tensor,
        prev_obs: Tensor,
        prev_action: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Mean squared error of the predicted noise over the samples in ``mask``, and the estimated clean frame."""
        noisy = self.add_noise(obs, timestep, noise)
        output = self.predict_noise(noisy, timestep, prev_obs, prev_action)
        clean = self.estimate(noisy, output.detach(), timestep)
        return masked_error(output, noise, mask), self._quantised(clean)

    def random_loss(
        self, obs: Tensor, mask: Tensor, prev_obs: Tensor, prev_action: Tensor | None, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """:meth:`target_loss` for timesteps drawn uniformly."""
        timestep = torch.randint(NUM_TIMESTEPS, (len(obs),), generator=generator, device=obs.device)
        channel_noise, pixel_noise = offset_noise(obs, self.config.sigma_offset, generator)
        return self.target_loss(channel_noise + pixel_noise, timestep, obs, mask, prev_obs, prev_action)

    def path(
        self,
        initial_noise: Tensor,
        prev_obs: Tensor,
        prev_action: Tensor | None,
        sampler: SamplerConfig,
        generator: Generator | None = None,
    ) -> list[Tensor]:
        """Ancestral sampling over N equally spaced timesteps; for N = 1, the estimate from the middle timestep.

        Only two fields of ``sampler`` are used: ``num_steps``, at most 1,000, and ``s_noise``, a factor for the noise
        that each step adds. Before scaling, that noise has the posterior's variance (Ho et al. 2020, equation 7).
        """
        spacing = NUM_TIMESTEPS // sampler.num_steps
        timesteps = range(0, spacing * sampler.num_steps, spacing)
        x, path = initial_noise, [initial_noise]
        for t in reversed(timesteps if sampler.num_steps > 1 else [NUM_TIMESTEPS // 2]):
            timestep = torch.full((len(x),), t, device=x.device)
            noise = self.predict_noise(x, timestep, prev_obs, prev_action)
            x = clean = self.estimate(x, noise, timestep)
            if t > 0 and sampler.num_steps > 1:
                x = self._posterior(path[-1], clean, t, t - spacing, sampler.s_noise, generator)
            path.append(x)
        path[-1] = self._quantised(path[-1])
        return path

    def _posterior(
        self, x: Tensor, clean: Tensor, t: int, before: int, s_noise: float, generator: Generator | None
    ) -> Tensor:
        """Draw the frame at timestep ``before`` given ``x`` at timestep ``t`` and the clean frame (equations 6, 7)."""
        abar, abar_before = self.alphas_cumprod[t], self.alphas_cumprod[before]
        alpha = abar / abar_before
        mean = abar_before.sqrt() * (1 - alpha) * clean + alpha.sqrt() * (1 - abar_before) * x
        std = ((1 - abar_before) * (1 - alpha) / (1 - abar)).sqrt()
        noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        return mean / (1 - abar) + s_noise * std * noise

    def _quantised(self, clean: Tensor) -> Tensor:
        return to_levels(clean) if self.config.quantise else clean
