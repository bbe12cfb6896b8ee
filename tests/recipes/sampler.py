"""Example of a sampler: DPM-Solver++(2M), which reuses the estimate of the step before."""

from __future__ import annotations

from itertools import pairwise

from torch import Generator, Tensor

from adamas.diffusion.samplers import Denoise, SamplerConfig
from adamas.diffusion.schedules import karras_sigmas


def dpm_solver_2m(
    denoise: Denoise,
    initial_noise: Tensor,
    config: SamplerConfig,
    generator: Generator | None = None,
    centre: Tensor | float = 0.0,
) -> list[Tensor]:
    """Integrate the probability-flow ODE by DPM-Solver++(2M) (Lu et al. 2022, algorithm 2).

    Arguments and the points that it returns are those of :func:`~adamas.diffusion.samplers.sample_path`.
    """
    sigmas = karras_sigmas(config.num_steps, config.sigma_min, config.sigma_max, config.rho)
    x = centre + (initial_noise * config.sigma_max if config.scale_initial_noise else initial_noise)
    path, before, step_before = [x], None, 0.0
    for sigma, sigma_next in pairwise(sigmas):
        estimate = denoise(x, x.new_full((), float(sigma)))
        if sigma_next == 0:
            x = estimate
        else:
            step = float((sigma / sigma_next).log())
            slope = 0.0 if before is None else (estimate - before) * step / (2 * step_before)
            x = x * (sigma_next / sigma) + (estimate + slope) * (1 - sigma_next / sigma)
            before, step_before = estimate, step
        path.append(x)
    return path
