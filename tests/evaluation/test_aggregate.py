"""Statistics over many runs: by hand, against published aggregates, and against rliable where it is installed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamas.evaluation.aggregate import (
    interval,
    iqm,
    mean,
    median,
    num_superhuman,
    optimality_gap,
    performance_profile,
    resample,
)

TWO_GAMES = [np.array([0.0, 2.0]), np.array([1.0, 3.0, 5.0])]


def test_statistics_by_hand() -> None:
    assert mean(TWO_GAMES) == 2.0  # of 1 and 3
    assert median([*TWO_GAMES, np.array([10.0])]) == 3.0  # of 1, 3 and 10
    assert iqm(TWO_GAMES) == 2.0  # 0 1 2 3 5 without the lowest and the highest
    assert optimality_gap(TWO_GAMES) == pytest.approx(1 / 5)  # only 0 misses 1
    assert num_superhuman(TWO_GAMES) == 2
    assert num_superhuman([np.array([0.5, 1.4])]) == 0


def test_profile_weighs_games_equally() -> None:
    profile = performance_profile(TWO_GAMES, np.array([-1.0, 0.0, 2.0]))
    assert profile.tolist() == [1.0, pytest.approx(3 / 4), pytest.approx(1 / 3)]


def test_resamples_keep_to_their_game() -> None:
    low, high = resample(TWO_GAMES, 200) or []
    assert (low.shape, high.shape) == ((200, 2), (200, 3))
    assert set(low.flat) == {0.0, 2.0} and set(high.flat) == {1.0, 3.0, 5.0}
    # The mean of two draws from {0, 2} is 0 in a quarter of all resamples.
    assert (low.mean(axis=1) == 0).mean() == pytest.approx(0.25, abs=0.1)


def test_a_game_with_a_single_run_has_no_interval() -> None:
    assert resample([np.array([0.5]), np.array([1.5])]) is None
    assert resample([*TWO_GAMES, np.array([0.5])]) is None, "most games have several runs"
    assert interval(np.linspace(0, 1, 1001)) == pytest.approx((0.025, 0.975))


@settings(deadline=None)  # rliable imports slowly
@given(
    st.integers(1, 4).flatmap(
        lambda num_runs: st.lists(
            st.lists(st.floats(-3, 8), min_size=num_runs, max_size=num_runs), min_size=1, max_size=5
        )
    )
)
def test_same_as_rliable(scores: list[list[float]]) -> None:
    metrics = pytest.importorskip("rliable.metrics", reason="rliable is not installed")
    matrix = np.array(scores).T  # (R, G)
    ours = [np.array(runs) for runs in scores]
    for statistic, theirs in (
        (mean, metrics.aggregate_mean),
        (median, metrics.aggregate_median),
        (iqm, metrics.aggregate_iqm),
        (optimality_gap, metrics.aggregate_optimality_gap),
    ):
        assert statistic(ours) == pytest.approx(theirs(matrix), abs=1e-9)
