"""Distances between frames that compare pixels, or the neighbourhoods of pixels.

Frames are (..., C, H, W) uint8; each function returns one number for each frame, (...). The perceptual distance is in
:class:`adamas.nn.lpips.Lpips`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW, SIGMA = 11, 1.5  # pixels
EXACT_TOLERANCE = 38  # levels of 255, which are 0.3 in [-1, 1]
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # keep quotients finite where a frame is black or uniform


def mse(obs: Tensor, true_obs: Tensor) -> Tensor:
    """Mean squared error of (..., C, H, W) uint8 frames with pixels as fractions of 255: (...) in [0, 1]."""
    return ((obs.float() - true_obs.float()) / 255).square().mean(dim=(-3, -2, -1))


def psnr(obs: Tensor, true_obs: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of (..., C, H, W) uint8 frames: (...), at most 60, as for equal frames."""
    error = (obs.float() - true_obs.float()).square().mean(dim=(-3, -2, -1))
    return 10 * torch.log10(255**2 / error.clamp(min=255**2 * 1e-6))


def exact(obs: Tensor, true_obs: Tensor) -> Tensor:
    """(...) bool: whether no value of a (..., C, H, W) uint8 frame differs by more than ``EXACT_TOLERANCE``."""
    return ((obs.int() - true_obs.int()).abs() <= EXACT_TOLERANCE).flatten(-3).all(dim=-1)


def ssim(obs: Tensor, true_obs: Tensor) -> Tensor:
    """Structural similarity of (..., C, H, W) uint8 frames: (...) float32 in [-1, 1], 1 for equal frames.

    Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment", 2004, equation 13, with the authors'
    constants: a Gaussian window of 11x11 pixels and sigma 1.5, K1 = 0.01, K2 = 0.03, L = 255. The mean is over the
    channels and all positions at which the window fits into the frame. If a side of the frame has less than 11 pixels,
    the window has the largest odd size that fits (9x9 for MinAtar's 10x10).

    Raises:
        ValueError: frames that differ in shape.
    """
    if obs.shape != true_obs.shape:
        raise ValueError(f"frames differ in shape: {tuple(obs.shape)} and {tuple(true_obs.shape)}")
    x, y = obs.float(), true_obs.float()
    height, width = x.shape[-2:]
    size = min(WINDOW, height, width)
    down, across = _windows(height, size).to(x.device), _windows(width, size).to(x.device).T

    def local_mean(values: Tensor) -> Tensor:
        return down @ values @ across  # (N, C, rows, columns): the positions of the window

    offset_x, offset_y = (values.mean(dim=(-2, -1), keepdim=True) for values in (x, y))
    x, y = x - offset_x, y - offset_y  # the same variances with smaller rounding errors
    mean_x, mean_y = local_mean(x), local_mean(y)
    variances = local_mean(x * x) - mean_x**2 + local_mean(y * y) - mean_y**2
    covariance = local_mean(x * y) - mean_x * mean_y
    mean_x, mean_y = mean_x + offset_x, mean_y + offset_y
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    structure = (2 * covariance + C2) / (variances + C2)
    return (luminance * structure).mean(dim=(-3, -2, -1))


def _windows(length: int, size: int) -> Tensor:
    """Gaussian weights of a window of n pixels, the largest odd number up to ``size``, at all positions on a side.

    Returns:
        (length - n + 1, length), a row for each position; each row sums to 1.
    """
    radius = (size - 1) // 2
    weights = torch.exp(-(torch.arange(-radius, radius + 1) ** 2) / (2 * SIGMA**2))
    weights /= weights.sum()
    rest = length - len(weights)
    return torch.stack([F.pad(weights, (place, rest - place)) for place in range(rest + 1)])
