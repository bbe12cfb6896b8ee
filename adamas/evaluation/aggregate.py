"""Aggregate statistics over runs and games (Agarwal et al. 2021, "Deep RL at the Edge of the Statistical Precipice").

Scores are a list with one array per game, (..., R) for its R runs. Games may have different numbers of runs. Leading
dimensions are bootstrap resamples.
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
    """Interquartile mean (IQM): mean of the middle half of all runs of all games, pooled: (...).

    The IQM of the games' means would be another number (for one published method 0.757 instead of 0.641).
    """
    pooled = np.sort(np.concatenate(scores, axis=-1), axis=-1)
    cut = pooled.shape[-1] // 4
    return pooled[..., cut : pooled.shape[-1] - cut].mean(axis=-1)


def optimality_gap(scores: Scores) -> np.ndarray:
    """Mean amount by which runs fall short of a score of 1; scores above 1 count as 1: (...)."""
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
"""The statistics that are reported with intervals, by name."""


def resample(scores: Scores, num_resamples: int = NUM_RESAMPLES) -> list[np.ndarray] | None:
    """Stratified bootstrap: draw R runs of each game, (R,), with replacement: (num_resamples, R) per game.

    None if a game has a single run, which says nothing about the spread of runs.
    """
    if any(len(runs) < 2 for runs in scores):
        return None
    rng = np.random.default_rng(0)
    return [rng.choice(runs, (num_resamples, len(runs))) for runs in scores]


def interval(samples: np.ndarray) -> tuple[float, float]:
    """The 95 % percentile interval of a statistic's (num_resamples,) values."""
    low, high = np.quantile(samples, [0.025, 0.975])
    return float(low), float(high)


def performance_profile(scores: Scores, thresholds: np.ndarray) -> np.ndarray:
    """Performance profile: share of runs with a score above each of (T,) thresholds, mean over games: (..., T)."""
    shares = [(runs[..., None] > thresholds).mean(axis=-2) for runs in scores]
    return np.mean(shares, axis=0)


def _of_games(scores: Scores) -> np.ndarray:
    """Mean over the runs of each of G games: (..., G)."""
    return np.stack([runs.mean(axis=-1) for runs in scores], axis=-1)
