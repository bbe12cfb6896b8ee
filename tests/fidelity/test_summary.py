"""Numbers of moments with their intervals, and how they are printed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from adamas.fidelity.action_sensitivity import compare_actions
from adamas.fidelity.coverage import Agreement, OutcomeComparison
from adamas.fidelity.results import DreamResults, Estimate, MomentResults
from adamas.fidelity.summary import estimate, moment_rows, shown, summarise_outcomes, summarise_sensitivity


def agreement(value: float) -> Agreement:
    return Agreement(*(np.array([[value], [value + 0.5]]) for _ in range(4)))


def frames(values: list[list[int]]) -> torch.Tensor:
    """(K, A, 1, 1, 2): the second pixel never changes."""
    first = torch.tensor(values, dtype=torch.uint8)
    return torch.stack((first, torch.full_like(first, 9)), dim=2).view(*first.shape, 1, 1, 2)


def test_means_over_moments_with_their_intervals() -> None:
    found = summarise_outcomes(
        OutcomeComparison((4,), np.array([[1], [4]]), agreement(0.25), agreement(0.5)), 0
    )
    assert list(found) == [4] and found[4].modes == 2.5
    assert found[4].coverage.dream == Estimate(mean=0.5, low=0.25, high=0.75)
    assert found[4].energy.game.mean == 0.75
    assert estimate(np.array([]), 0) == Estimate(None, None, None)
    assert estimate(np.array([0.5]), 0) == Estimate(0.5, None, None)
    assert [shown(Estimate(0.5, *ends)) for ends in ((None, None), (0.25, 0.75))] == [
        "0.5",
        "0.5 \\[0.25, 0.75]",
    ]


def test_action_sensitivity_is_measured_in_moments_in_which_actions_differ() -> None:
    true, dreamt = frames([[0, 200], [50, 50]]), frames([[0, 100], [0, 255]])
    found = summarise_sensitivity(compare_actions(dreamt, true, horizon=1), ("left", "right"), 0)
    assert found.decisive == 0.5 and found.chance.mean == 0.5
    assert found.correlation.mean == pytest.approx(1.0)
    assert found.change.game["right"] == pytest.approx(100 / 255 / 2**0.5)
    assert found.change.dream["right"] == pytest.approx(50 / 255 / 2**0.5)
    assert found.told_apart.mean == 1 and found.pairs["left, right"].mean == 1
    assert found.accuracy.mean == 0.75  # 100 is as near to 0 as to 200
    assert found.confusion == [[1.0, 0.0], [0.5, 0.5]] and found.perfect_confusion == [
        [1.0, 0.0],
        [0.0, 1.0],
    ]
    nothing = summarise_sensitivity(compare_actions(dreamt[1:], true[1:], horizon=1), ("left", "right"), 0)
    assert nothing.confusion is None and nothing.accuracy.mean is None
    assert nothing.told_apart.mean is None and nothing.pairs["left, right"].mean is None


def test_rows_for_samplers_with_and_without_moments() -> None:
    outcomes = summarise_outcomes(
        OutcomeComparison((1,), np.array([[1], [1]]), agreement(0.25), agreement(0.5)), 0
    )
    sensitivity = summarise_sensitivity(
        compare_actions(frames([[0, 200]]), frames([[0, 200]]), horizon=1), ("left", "right"), 0
    )
    found = {
        "N = 1": DreamResults({}, moments=MomentResults(outcomes, sensitivity)),
        "still frame": DreamResults({}),
    }
    rows = dict(moment_rows(found))
    assert rows["total variation, step 1 (the game's own: 0.75)"] == ["0.5 \\[0.25, 0.75]", ""]
    assert rows["action accuracy (by chance 0.5)"] == ["1", ""], "a single moment has no interval"
    assert rows["action pairs told apart (by chance 0.5)"] == ["1", ""]
    none = estimate(np.array([]), 0)
    indecisive = MomentResults(outcomes, replace(sensitivity, chance=none, accuracy=none))
    assert not any(
        "by chance" in label for label, _ in moment_rows({"N = 1": DreamResults({}, moments=indecisive)})
    )
