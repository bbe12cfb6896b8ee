"""Scores on Atari 100k: human-normalised, those that other methods published, and their aggregate statistics."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from adamas.core.errors import UserError, nearest
from adamas.evaluation.aggregate import STATISTICS, interval, num_superhuman, resample

FOLDER = Path(__file__).parent / "published"
Runs = Mapping[str, np.ndarray]
"""Scores by game: an array of R runs each."""

CORRECTED = {("STORM", "Freeway"): 33.5}
"""Scores by (method, game) that replace those of a method's published runs where all papers give others: STORM's runs
have 0 for Freeway."""


class Reference(NamedTuple):
    """Scores of a random policy and of a human in a game."""

    random: float
    human: float

    def normalise(self, score: Any) -> Any:
        """Human-normalise a score or an array of scores: 0 is the random policy, 1 the human."""
        return (score - self.random) / (self.human - self.random)


@cache
def references() -> Mapping[str, Reference]:
    """Reference scores of the 26 games of Atari 100k, by game."""
    return {
        row["game"]: Reference(float(row["random"]), float(row["human"]))
        for row in _rows("atari100k_reference.csv")
    }


@cache
def published() -> Mapping[str, Runs]:
    """Published scores of every method, not normalised, and corrected by :data:`CORRECTED`.

    A method that is corrected also appears uncorrected, as "NAME (raw)".
    """
    methods: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in _rows("atari100k_runs.csv"):
        methods[row["method"]][row["game"]].append(float(row["score"]))
    runs = {name: {g: np.array(scores) for g, scores in games.items()} for name, games in methods.items()}
    for (name, game), score in CORRECTED.items():
        raw = runs.pop(name)
        runs |= {name: {**raw, game: np.full(len(raw[game]), score)}, f"{name} (raw)": raw}
    return runs


def published_method(name: str) -> Runs:
    """Published scores of one method, not normalised.

    Raises:
        UserError: if there is no method of this name.
    """
    if name not in published():
        raise UserError(f"no published runs of {name!r}; {nearest(name, published())}")
    return published()[name]


def normalise(runs: Runs) -> Runs:
    """Human-normalise the scores of all games that have reference scores; leave out the others."""
    return {
        game: references()[game].normalise(scores) for game, scores in runs.items() if game in references()
    }


class Estimate(NamedTuple):
    """A statistic and its 95 % bootstrap interval.

    The interval is None if a game has a single run, which says nothing about the spread of runs.
    """

    value: float
    interval: tuple[float, float] | None


def aggregates(runs: Runs) -> dict[str, Estimate]:
    """Compute all aggregate statistics of human-normalised scores, by name."""
    scores = list(runs.values())
    samples = resample(scores)
    return {
        name: Estimate(float(statistic(scores)), None if samples is None else interval(statistic(samples)))
        for name, statistic in STATISTICS.items()
    }


def count_superhuman(runs: Runs) -> int:
    """Count the games with a mean human-normalised score of at least 1."""
    return int(num_superhuman(list(runs.values())))


def _rows(file: str) -> list[dict[str, str]]:
    with (FOLDER / file).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))
