"""The published table, to the digits that are printed elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from adamas.core.errors import UserError
from adamas.evaluation.scores import (
    aggregates,
    count_superhuman,
    normalise,
    published,
    published_method,
    references,
)


@pytest.mark.parametrize(
    ("method", "mean", "iqm"),
    [
        ("SimPLe", 0.332, 0.130),
        ("TWM", 0.956, 0.459),
        ("IRIS", 1.046, 0.501),
        ("DreamerV3", 1.097, 0.497),
        ("STORM", 1.266, 0.636),
        ("STORM (raw)", 1.222, 0.561),
        ("DIAMOND", 1.459, 0.641),
    ],
)
def test_published_aggregates(method: str, mean: float, iqm: float) -> None:
    estimates = aggregates(normalise(published_method(method)))
    assert estimates["mean"].value == pytest.approx(mean, abs=5.1e-4)
    assert estimates["IQM"].value == pytest.approx(iqm, abs=5.1e-4)
    for estimate in estimates.values():
        assert estimate.interval is not None
        assert estimate.interval[0] < estimate.value < estimate.interval[1]


@pytest.mark.parametrize(
    ("method", "games"), [("DIAMOND", 11), ("IRIS", 10), ("SimPLe", 1), ("TWM", 8), ("Simulus", 13)]
)
def test_superhuman_games(method: str, games: int) -> None:
    assert count_superhuman(normalise(published_method(method))) == games


def test_interval_of_diamond_is_that_of_other_resamples() -> None:
    low, high = aggregates(normalise(published_method("DIAMOND")))["mean"].interval or (0, 0)
    assert (low, high) == pytest.approx((1.354, 1.569), abs=0.02)


def test_no_interval_if_a_game_has_a_single_run() -> None:
    runs = {"Pong": np.array([0.1, 0.9]), "Breakout": np.array([0.2, 0.4])}
    assert aggregates(runs)["mean"].interval == pytest.approx((0.15, 0.65))
    for estimate in aggregates({**runs, "Boxing": np.array([0.5])}).values():
        assert estimate.interval is None


def test_every_method_has_five_runs_of_every_game() -> None:
    assert len(references()) == 26
    for runs in published().values():
        assert runs.keys() == references().keys()
        assert {len(scores) for scores in runs.values()} == {5}


def test_normalised_scores() -> None:
    breakout = references()["Breakout"]
    assert breakout.normalise(breakout.random) == 0.0
    assert breakout.normalise(breakout.human) == 1.0
    assert normalise({"Breakout": np.array([breakout.human]), "some other game": np.array([1.0])}) == {
        "Breakout": np.array([1.0])
    }


def test_unknown_method() -> None:
    with pytest.raises(UserError, match="no published runs of 'DIAMONDS'; did you mean 'DIAMOND'"):
        published_method("DIAMONDS")
