"""Samplers: plain functions over a ``denoise(x, sigma)`` callable (Karras et al. 2022, algorithms 1 and 2).

To add one, write a function with the signature of :func:`euler` here, enter it in :data:`SAMPLERS` and
:data:`SamplerName`, and copy it to the table of the same name in ``export/static/maths.js``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Generator, Tensor

from adamas.core.checks import check_range
from adamas.core.errors import UserError, nearest
from adamas.diffusion.schedules import karras_sigmas

Denoise = Callable[[Tensor, Tensor], Tensor]
"""``(x (B, C, H, W), sigma ()) -> denoised (B, C, H, W)``."""

SamplerName = Literal["euler", "heun"]

MAX_STEPS = 10_000  # of a frame; three are usual, and all noise levels are held in memory


@dataclass(frozen=True, kw_only=True)
class SamplerConfig:
    """How a frame is drawn from noise. DDPM uses num_steps and s_noise alone."""

    num_steps: int = 3
    """Number N of denoising steps, at least 1."""
    method: SamplerName = "euler"
    """Rule of a step. heun calls the network twice in every step but the last, and makes a smaller error."""
    sigma_min: float = 2e-3
    """Noise level of the last step before 0, above 0 (edm only)."""
    sigma_max: float = 5.0
    """Noise level of the first step, at least sigma_min (edm only)."""
    rho: float = 7.0
    """Exponent of the schedule of noise levels, above 0 (edm only). Larger values take more of the steps at low
    noise."""
    s_churn: float = 0.0
    """Amount of noise that is added again on the way to a clean frame (edm only). 0 is deterministic."""
    s_tmin: float = 0.0
    """Lowest noise level at which s_churn adds noise (edm only)."""
    s_tmax: float = 1e6
    """Highest noise level at which s_churn adds noise (edm only)."""
    s_noise: float = 1.0
    """Standard deviation of the noise that s_churn adds (edm), or factor of the noise of every step (ddpm)."""
    scale_initial_noise: bool = False
    """Whether a frame starts from noise of variance sigma_max^2, as in EDM. Otherwise it starts from noise of
    variance 1, as in the paper (edm only)."""
    s_cond: float = 0.0
    """Standard deviation of the noise that is added to past frames, at least 0 (edm with network.noise_cond only). 0
    adds none."""

    def __post_init__(self) -> None:
        check_range("sampler.num_steps", self.num_steps, least=1, most=MAX_STEPS)
        if self.method not in get_args(SamplerName):
            hint = nearest(str(self.method), get_args(SamplerName))
            raise UserError(f"`sampler.method` is {self.method!r}; {hint}")
        check_range("sampler.rho", self.rho, above=0)
        for name in ("s_churn", "s_noise", "s_cond"):
            check_range(f"sampler.{name}", getattr(self, name), least=0)
        check_range("sampler.sigma_min", self.sigma_min, above=0)
        check_range("sampler.sigma_max", self.sigma_max, least=self.sigma_min)

    @classmethod
    def upgrade(cls, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Settings that version 0.1 saved, which had ``order`` (1: Euler, 2: Heun) in place of ``method``."""
        if "order" not in data or "method" in data:
            return data
        renamed = dict(data)
        order = renamed.pop("order")
        return {**renamed, "method": "euler" if order == 1 else "heun" if order == 2 else order}


Sampler = Callable[[Denoise, Tensor, Tensor, SamplerConfig, Generator | None], list[Tensor]]
"""``(denoise, x (B, C, H, W), sigmas (N + 1,), config, generator) -> path of N + 1 points``; see :func:`euler`."""


def euler(
    denoise: Denoise, x: Tensor, sigmas: Tensor, config: SamplerConfig, generator: Generator | None
) -> list[Tensor]:
    """Euler's method: one network call a step.

    Args:
        denoise: the denoiser with its conditions bound.
        x: (B, C, H, W), the first point.
        sigmas: (N + 1,) noise levels from high to low; the last is 0.
        config: churn.
        generator: source of the churn noise.

    Returns:
        The N + 1 points of the path, each (B, C, H, W).
    """
    path = [x]
    for sigma, sigma_next in itertools.pairwise(sigmas.tolist()):
        x, sigma_hat = _churn(x, sigma, config, generator)
        x = x + (sigma_next - sigma_hat) * _slope(denoise, x, sigma_hat)
        path.append(x)
    return path


def heun(
    denoise: Denoise, x: Tensor, sigmas: Tensor, config: SamplerConfig, generator: Generator | None
) -> list[Tensor]:
    """Heun's method: the mean of the slopes at both ends of a step; the last step, to 0, is Euler's.

    Arguments and result are those of :func:`euler`.
    """
    path = [x]
    for sigma, sigma_next in itertools.pairwise(sigmas.tolist()):
        x, sigma_hat = _churn(x, sigma, config, generator)
        slope = _slope(denoise, x, sigma_hat)
        x_next = x + (sigma_next - sigma_hat) * slope
        if sigma_next > 0:
            slope_next = _slope(denoise, x_next, sigma_next)
            x_next = x + (sigma_next - sigma_hat) * (slope + slope_next) / 2
        x = x_next
        path.append(x)
    return path


def _churn(
    x: Tensor, sigma: float, config: SamplerConfig, generator: Generator | None
) -> tuple[Tensor, float]:
    """Raise the noise level of ``x`` from ``sigma``, and return the new sample and its level."""
    churn = min(config.s_churn / config.num_steps, 2**0.5 - 1)
    gamma = churn if config.s_tmin <= sigma <= config.s_tmax else 0.0
    sigma_hat = sigma * (1 + gamma)
    if gamma > 0:
        noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        x = x + noise * config.s_noise * (sigma_hat**2 - sigma**2) ** 0.5
    return x, sigma_hat


def _slope(denoise: Denoise, x: Tensor, sigma: float) -> Tensor:
    """``dx / dsigma`` along the probability-flow ODE.

    The published code evaluates the network at the level before churn; the sample's level is the raised one.
    """
    return (x - denoise(x, x.new_full((), sigma))) / sigma


SAMPLERS: Mapping[SamplerName, Sampler] = {"euler": euler, "heun": heun}


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
        config: steps, method, noise levels and churn.
        generator: source of the churn noise.
        centre: what the first noise is added to, 0 or (B, C, H, W).

    Returns:
        The N + 1 points of the path, each (B, C, H, W); the last is the sample.
    """
    sigmas = karras_sigmas(config.num_steps, config.sigma_min, config.sigma_max, config.rho)
    # The paper's departure from EDM: the path starts at unit variance although sigmas[0] is larger.
    x = centre + (initial_noise * config.sigma_max if config.scale_initial_noise else initial_noise)
    return SAMPLERS[config.method](denoise, x, sigmas, config, generator)
