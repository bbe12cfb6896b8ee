"""Windows of a dataset: parts of episodes, drawn uniformly from all possible windows."""

from __future__ import annotations

import numpy as np


def draw_uniformly(places: np.ndarray, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw windows with replacement; every start of every episode is equally likely.

    Args:
        places: (E,) int64, number of possible starts in each episode; their sum must be at least 1.
        count: number of windows to draw.
        rng: source of randomness.

    Returns:
        The episode of each window, and its start in that episode, counted from 0: (count,) int64 each.
    """
    ends = places.cumsum()
    number = rng.integers(ends[-1], size=count)
    episode = np.searchsorted(ends, number, side="right")
    return episode, number - (ends - places)[episode]
