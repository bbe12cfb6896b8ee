"""Downscaling of frames by area averaging."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

Taps = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Source pixels and their weights, (taps, new) each; see :func:`area_taps`."""


def shrink(frames: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Shrink frames (K, H, W, 3) to (K, 3, height, width): the rounded mean of the pixels that a new pixel covers.

    This is PyTorch's "area" interpolation: pixels that a new pixel covers only in part count in full.
    """
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
    shrunk = functional.interpolate(pixels, size=(height, width), mode="area")
    return np.asarray(shrunk.round().to(torch.uint8).contiguous().numpy())


def area_taps(old: int, new: int) -> Taps:
    """Compute which of ``old`` pixels each of ``new`` <= ``old`` pixels covers, and the weights: (taps, new) each."""
    scale = old / new
    edges = np.arange(new) * scale
    index = np.floor(edges).astype(np.int64) + np.arange(int(np.ceil(scale)) + 1)[:, None]
    covered = np.minimum(index + 1, edges + scale) - np.maximum(index, edges)
    return np.minimum(index, old - 1), (covered.clip(0) / scale).astype(np.float32)


def shrink_area(screen: NDArray[np.uint8], rows: Taps, columns: Taps) -> NDArray[np.uint8]:
    """Shrink a screen (H, W, 3) to (3, rows, columns): the mean of pixels, weighted by the area a new pixel covers.

    The sum has the order and the precision of OpenCV's INTER_AREA, so that ties are rounded alike. The exception is a
    size that divides both sides exactly (10x10 or less on Atari): there a pixel may differ by one level.
    """
    lines = sum(screen[:, index] * weight[:, None] for index, weight in zip(*columns, strict=True))
    frame = sum(lines[index] * weight[:, None, None] for index, weight in zip(*rows, strict=True))
    return np.ascontiguousarray(np.rint(frame).astype(np.uint8).transpose(2, 0, 1))
