"""What many runs on many games say together (Agarwal et al. 2021, "Deep RL at the Edge of the Statistical Precipice").

Scores are a list with an array for every game, (..., R) over its R runs; games may have different numbers of
runs. Leading dimensions are resamples of the same runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

Scores = Sequence[np.ndarray]
NUM_RESAMPLES = 5_000


def mean(scores: Scores) -> np.ndarray:
    """Mean over the games of their mean over runs: (...)."""
    return _of_games(scores).mean(axis=-1)


def median(scores: Scores) -> np.ndarray:
    """Median over the games of their mean over runs: (...)."""
    return np.median(_of_games(scores), axis=-1)


def iqm(scores: Scores) -> np.ndarray:
    """Interquartile mean: of the middle half of all runs of all games, pooled: (...).

    Not of the games' means, which is another number (for DIAMOND 0.757 instead of 0.641).
    """
    pooled = np.sort(np.concatenate(scores, axis=-1), axis=-1)
    cut = pooled.shape[-1] // 4
    return pooled[..., cut : pooled.shape[-1] - cut].mean(axis=-1)


def optimality_gap(scores: Scores) -> np.ndarray:
    """By how much runs miss a score of 1, on average; what they have beyond it does not count: (...)."""
    return 1 - np.minimum(np.concatenate(scores, axis=-1), 1).mean(axis=-1)


def num_superhuman(scores: Scores) -> np.ndarray:
    """Number of games whose mean over runs is at least 1: (...)."""
    return (_of_games(scores) >= 1).sum(axis=-1)


STATISTICS: Mapping[str, Callable[[Scores], np.ndarray]] = {
    "mean": mean,
    "median": median,
    "IQM": iqm,
    "optimality gap": optimality_gap,
}
"""Those that intervals are given for."""


def resample(scores: Scores, num_resamples: int = NUM_RESAMPLES, seed: int = 0) -> list[np.ndarray]:
    """Stratified bootstrap: of each game, (R,), as many runs with replacement: (num_resamples, R)."""
    rng = np.random.default_rng(seed)
    return [rng.choice(runs, (num_resamples, len(runs))) for runs in scores]


def interval(samples: np.ndarray) -> tuple[float, float] | None:
    """The 95 % percentile interval of a statistic's (num_resamples,) values; None if they are all one value.

    They are where every game has a single run, which tells nothing about other runs.
    """
    low, high = np.quantile(samples, [0.025, 0.975])
    return None if low == high else (float(low), float(high))


def performance_profile(scores: Scores, thresholds: np.ndarray) -> np.ndarray:
    """Share of runs with a score above each of (T,) thresholds, averaged over the games: (..., T)."""
    shares = [(runs[..., None] > thresholds).mean(axis=-2) for runs in scores]
    return np.mean(shares, axis=0)


def _of_games(scores: Scores) -> np.ndarray:
    """Mean of every game: (..., G)."""
    return np.stack([runs.mean(axis=-1) for runs in scores], axis=-1)
