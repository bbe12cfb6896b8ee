"""Frames made smaller."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional


def shrink(frames: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """(K, H, W, 3) to (K, 3, height, width): the mean over the pixels that a new pixel covers, rounded.

    Where the sizes are not multiples, a pixel that is covered in part counts in full ("area" in PyTorch).
    """
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
    shrunk = functional.interpolate(pixels, size=(height, width), mode="area")
    return np.asarray(shrunk.round().to(torch.uint8).contiguous().numpy())
