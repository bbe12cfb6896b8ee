"""Noise levels along a sampling path."""

from __future__ import annotations

import torch
from torch import Tensor


def karras_sigmas(
    num_steps: int, sigma_min: float, sigma_max: float, rho: float, device: torch.device | str = "cpu"
) -> Tensor:
    """N + 1 noise levels from ``sigma_max`` down to ``sigma_min``, then 0 (Karras et al. 2022, equation 5).

    sigma_i = (smax^(1/rho) + i / (N - 1) (smin^(1/rho) - smax^(1/rho)))^rho, an (N + 1,) tensor. With N = 1, the only
    step starts at ``sigma_max``.
    """
    ramp = torch.linspace(0, 1, num_steps)
    top, bottom = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    sigmas = (top + ramp * (bottom - top)) ** rho
    return torch.cat((sigmas, torch.zeros(1))).to(device)  # (N + 1,)
