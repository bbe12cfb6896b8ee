"""Example of a denoiser: rectified flow, which predicts the velocity on a straight path from noise to frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from adamas.diffusion.denoiser import Denoiser, FrameDiffusionConfig, masked_error, to_levels
from adamas.diffusion.samplers import SamplerConfig


@dataclass(frozen=True, kw_only=True)
class FlowConfig(FrameDiffusionConfig):
    """Rectified flow."""

    diffusion: Literal["flow"] = "flow"
    """Kind of diffusion model."""


class FlowDenoiser(Denoiser):
    """x_t = (1 - t) o + t n for a frame o and noise n; the network predicts n - o (Liu et al. 2023)."""

    def random_loss(
        self, obs: Tensor, mask: Tensor, prev_obs: Tensor, prev_action: Tensor | None, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """Squared error of the velocity at a time t drawn uniformly."""
        time = torch.rand(len(obs), generator=generator, device=obs.device)  # (B,)
        noise = torch.randn(obs.shape, generator=generator, device=obs.device)
        t = time[:, None, None, None]
        noisy = (1 - t) * obs + t * noise
        velocity = self.inner_model(noisy, time, prev_obs, prev_action)
        clean = to_levels(noisy - t * velocity.detach())
        return masked_error(velocity, noise - obs, mask), clean

    def path(
        self,
        initial_noise: Tensor,
        prev_obs: Tensor,
        prev_action: Tensor | None,
        sampler: SamplerConfig,
        generator: Generator | None = None,
    ) -> list[Tensor]:
        """Euler's method in ``sampler.num_steps`` equal steps from t = 1 to 0."""
        path = [initial_noise]
        for step in range(sampler.num_steps):
            time = initial_noise.new_full((len(initial_noise),), 1 - step / sampler.num_steps)
            velocity = self.inner_model(path[-1], time, prev_obs, prev_action)
            path.append(path[-1] - velocity / sampler.num_steps)
        path[-1] = to_levels(path[-1])
        return path
