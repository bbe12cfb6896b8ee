"""Example of a sampler: DPM-Solver++(2M), which reuses the estimate of the step before."""

from __future__ import annotations

from itertools import pairwise
from math import log

from torch import Generator, Tensor

from adamas.diffusion.samplers import Denoise, SamplerConfig


def dpm_solver_2m(
    denoise: Denoise, x: Tensor, sigmas: Tensor, config: SamplerConfig, generator: Generator | None
) -> list[Tensor]:
    """Integrate the probability-flow ODE by DPM-Solver++(2M) (Lu et al. 2022, algorithm 2).

    Arguments and the points that it returns are those of :func:`~adamas.diffusion.samplers.euler`.
    """
    path, before, step_before = [x], None, 0.0
    for sigma, sigma_next in pairwise(sigmas.tolist()):
        estimate = denoise(x, x.new_full((), sigma))
        if sigma_next == 0:
            x = estimate
        else:
            step = log(sigma / sigma_next)
            slope = 0.0 if before is None else (estimate - before) * step / (2 * step_before)
            x = x * (sigma_next / sigma) + (estimate + slope) * (1 - sigma_next / sigma)
            before, step_before = estimate, step
        path.append(x)
    return path
