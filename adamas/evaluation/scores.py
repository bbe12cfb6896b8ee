"""Human-normalised scores, and what methods have published on Atari 100k."""

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
"""Scores (R,) of the runs of every game."""

CORRECTED = {("STORM", "Freeway"): 33.5}
"""Where a repository's raw runs are not what its paper and all others print."""


class Reference(NamedTuple):
    """What a random policy and a human score in a game."""

    random: float
    human: float

    def normalise(self, score: Any) -> Any:
        """Human-normalised: 0 is the random policy, 1 the human."""
        return (score - self.random) / (self.human - self.random)


@cache
def references() -> Mapping[str, Reference]:
    """The 26 games of Atari 100k."""
    return {
        row["game"]: Reference(float(row["random"]), float(row["human"]))
        for row in _rows("atari100k_reference.csv")
    }


@cache
def published() -> Mapping[str, Runs]:
    """Raw scores of every method. A method that :data:`CORRECTED` changes has its raw ones as "NAME (raw)"."""
    methods: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in _rows("atari100k_runs.csv"):
        methods[row["method"]][row["game"]].append(float(row["score"]))
    runs = {name: {g: np.array(scores) for g, scores in games.items()} for name, games in methods.items()}
    for (name, game), score in CORRECTED.items():
        raw = runs.pop(name)
        runs |= {name: {**raw, game: np.full(len(raw[game]), score)}, f"{name} (raw)": raw}
    return runs


def published_method(name: str) -> Runs:
    """Raw scores of one method.

    Raises:
        UserError: there is none of that name.
    """
    if name not in published():
        raise UserError(f"no published runs of {name!r}; {nearest(name, published())}")
    return published()[name]


def normalise(runs: Runs) -> Runs:
    """Human-normalised scores of the games that have a reference."""
    return {
        game: references()[game].normalise(scores) for game, scores in runs.items() if game in references()
    }


class Estimate(NamedTuple):
    """A statistic, and its 95 % bootstrap interval; None where single runs cannot tell."""

    value: float
    interval: tuple[float, float] | None


def aggregates(runs: Runs) -> dict[str, Estimate]:
    """The statistics of human-normalised scores, by name."""
    scores = list(runs.values())
    samples = resample(scores)
    return {
        name: Estimate(float(statistic(scores)), interval(statistic(samples)))
        for name, statistic in STATISTICS.items()
    }


def superhuman(runs: Runs) -> int:
    """Number of games at or above a human, of human-normalised scores."""
    return int(num_superhuman(list(runs.values())))


def _rows(file: str) -> list[dict[str, str]]:
    with (FOLDER / file).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))
