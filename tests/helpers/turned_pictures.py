"""A picture that shows how it was turned, and the first frame of what is imported."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.helpers.recordings import imported

UPRIGHT = np.zeros((16, 24, 3), np.uint8)
UPRIGHT[:, 12:] = (255, 0, 0)  # red on the right
UPRIGHT[8:, :12] = (0, 0, 255)  # blue below on the left
LYING = {  # what is stored, so that turning it as the number says (Exif 2.3, tag 274) makes it upright
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.swapaxes(0, 1),
    6: np.rot90(UPRIGHT, 1),  # shown after a quarter to the right
    7: np.rot90(UPRIGHT, 2).swapaxes(0, 1),
    8: np.rot90(UPRIGHT, -1),
}


def first(path: Path) -> np.ndarray:
    """(H, W, 3) the first frame of what is imported."""
    return imported(path, without_actions=True)[0].episode(0).obs[0].transpose(1, 2, 0)
