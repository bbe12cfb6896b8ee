"""Windows of a dataset: pieces of episodes drawn uniformly among all that could be drawn."""

from __future__ import annotations

import numpy as np


def draw_uniformly(places: np.ndarray, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw windows with replacement, every place of every episode being equally likely.

    Args:
        places: (E,) int64, in how many places of each episode a window can lie; at least one in all.
        count: how many windows to draw.
        rng: what is drawn follows from it.

    Returns:
        The episode of each window, and its place in that episode, counted from 0: (count,) int64 each.
    """
    ends = places.cumsum()
    number = rng.integers(ends[-1], size=count)
    episode = np.searchsorted(ends, number, side="right")
    return episode, number - (ends - places)[episode]
