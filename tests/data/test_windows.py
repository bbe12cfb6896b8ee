"""Every place of every episode is drawn equally often."""

from __future__ import annotations

import numpy as np

from adamas.data.windows import draw_uniformly


def test_every_place_is_equally_likely() -> None:
    episode, place = draw_uniformly(np.array([2, 0, 1]), 30_000, np.random.default_rng(0))
    drawn, counts = np.unique(np.stack((episode, place)), axis=1, return_counts=True)
    assert drawn.T.tolist() == [[0, 0], [0, 1], [2, 0]]
    # Five standard deviations of a binomial count around a third.
    assert abs(counts - 10_000).max() < 5 * (30_000 * (1 / 3) * (2 / 3)) ** 0.5
