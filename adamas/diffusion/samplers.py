"""Samplers: plain functions over a ``denoise(x, sigma)`` callable (Karras et al. 2022, algorithms 1 and 2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from adamas.core.errors import UserError
from adamas.diffusion.schedules import karras_sigmas

Denoise = Callable[[Tensor, Tensor], Tensor]
"""``(x (B, C, H, W), sigma ()) -> denoised (B, C, H, W)``."""

MAX_STEPS = 10_000  # of a frame; three are usual, and all noise levels are held in memory


@dataclass(frozen=True)
class SamplerConfig:
    """How a frame is drawn from noise. DDPM knows ``num_steps`` and ``s_noise`` alone."""

    num_steps: int = 3
    """Number N of denoising steps."""
    order: int = 1
    """1: Euler. 2: Heun (two network calls a step, but the last)."""
    sigma_min: float = 2e-3
    sigma_max: float = 5.0
    rho: float = 7.0
    s_churn: float = 0.0
    """Noise added again on the way down; 0 follows the deterministic path."""
    s_tmin: float = 0.0
    """Lowest noise level at which churn acts."""
    s_tmax: float = 1e6
    """Highest noise level at which churn acts."""
    s_noise: float = 1.0
    """Standard deviation of the churn noise (edm), or what the noise of every step is multiplied by (ddpm)."""
    scale_initial_noise: bool = False
    """Start from N(0, sigma_max^2) as in EDM, not from N(0, 1) as DIAMOND does."""
    s_cond: float = 0.0
    """Standard deviation of noise that past frames get (edm, where the network is told of it: ``noise_cond``)."""

    def __post_init__(self) -> None:
        if not 1 <= self.num_steps <= MAX_STEPS or self.order not in (1, 2):
            raise UserError(
                f"sampler: num_steps in [1, {MAX_STEPS:,}] and order 1 or 2, got {self.num_steps} and {self.order}"
            )
        if not (self.rho > 0 and self.s_churn >= 0 and self.s_noise >= 0 and self.s_cond >= 0):
            raise UserError(
                "sampler: rho > 0, s_churn >= 0, s_noise >= 0 and s_cond >= 0, got "
                f"{self.rho}, {self.s_churn}, {self.s_noise} and {self.s_cond}"
            )
        if not 0 < self.sigma_min <= self.sigma_max:
            raise UserError(f"sampler: 0 < sigma_min <= sigma_max, got {self.sigma_min} and {self.sigma_max}")


def sample_path(
    denoise: Denoise,
    initial_noise: Tensor,
    config: SamplerConfig,
    generator: Generator | None = None,
    centre: Tensor | float = 0.0,
) -> list[Tensor]:
    """Integrate the probability-flow ODE from noise to a frame.

    Args:
        denoise: the denoiser with its conditions bound.
        initial_noise: (B, C, H, W), drawn from N(0, I).
        config: steps, order, noise levels and churn.
        generator: source of the churn noise.
        centre: what the first noise is added to, 0 or (B, C, H, W).

    Returns:
        The N + 1 points of the path, each (B, C, H, W); the last is the sample.
    """
    sigmas = karras_sigmas(config.num_steps, config.sigma_min, config.sigma_max, config.rho)
    churn = min(config.s_churn / config.num_steps, 2**0.5 - 1)
    # DIAMOND's departure from EDM: the path starts at unit variance although sigmas[0] is larger.
    x = centre + (initial_noise * config.sigma_max if config.scale_initial_noise else initial_noise)
    path = [x]
    for sigma, sigma_next in zip(sigmas.tolist(), sigmas[1:].tolist(), strict=False):
        gamma = churn if config.s_tmin <= sigma <= config.s_tmax else 0.0
        sigma_hat = sigma * (1 + gamma)
        if gamma > 0:
            noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
            x = x + noise * config.s_noise * (sigma_hat**2 - sigma**2) ** 0.5
        # The published code evaluates the network at sigma here; with churn the sample's level is sigma_hat.
        slope = (x - denoise(x, x.new_full((), sigma_hat))) / sigma_hat
        x_next = x + (sigma_next - sigma_hat) * slope
        if config.order == 2 and sigma_next > 0:
            slope_next = (x_next - denoise(x_next, x.new_full((), sigma_next))) / sigma_next
            x_next = x + (sigma_next - sigma_hat) * (slope + slope_next) / 2
        x = x_next
        path.append(x)
    return path
