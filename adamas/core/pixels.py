"""Frames made smaller."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

Taps = tuple[NDArray[np.int64], NDArray[np.float32]]
"""For area_taps."""


def shrink(frames: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """(K, H, W, 3) to (K, 3, height, width): the mean over the pixels that a new pixel covers, rounded.

    Where the sizes are not multiples, a pixel that is covered in part counts in full ("area" in PyTorch).
    """
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
    shrunk = functional.interpolate(pixels, size=(height, width), mode="area")
    return np.asarray(shrunk.round().to(torch.uint8).contiguous().numpy())


def area_taps(old: int, new: int) -> Taps:
    """Which of ``old`` pixels in a line each of ``new`` <= ``old`` covers, and their weights: (taps, new) each."""
    scale = old / new
    edges = np.arange(new) * scale
    index = np.floor(edges).astype(np.int64) + np.arange(int(np.ceil(scale)) + 1)[:, None]
    covered = np.minimum(index + 1, edges + scale) - np.maximum(index, edges)
    return np.minimum(index, old - 1), (covered.clip(0) / scale).astype(np.float32)


def shrink_area(screen: NDArray[np.uint8], rows: Taps, columns: Taps) -> NDArray[np.uint8]:
    """(H, W, 3) to (3, new, new): the mean over the area a new pixel covers, pixels cut by its edge in part.

    Summed in the order of OpenCV's INTER_AREA and in its precision, so that ties are rounded alike (but where both
    sides are divided exactly, to 10x10 or less on Atari: there a pixel may be off by one level).
    """
    lines = sum(screen[:, index] * weight[:, None] for index, weight in zip(*columns, strict=True))
    frame = sum(lines[index] * weight[:, None, None] for index, weight in zip(*rows, strict=True))
    return np.ascontiguousarray(np.rint(frame).astype(np.uint8).transpose(2, 0, 1))
