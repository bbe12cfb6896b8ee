"""Coverage of what can happen: by hand, and on coins whose distribution is known."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from adamas.core.actions import ActionSpec
from adamas.fidelity.coverage import (
    OutcomeComparison,
    agreement,
    compare_outcomes,
    energy_distance,
    modes,
    shares,
)
from adamas.fidelity.moments import find_moments
from adamas.rl.random_policy import RandomPolicy
from tests.helpers.toy_games import Coins, Dream, Line, on_the_line

HEADS = 0.25


def frames(*levels: int) -> Tensor:
    return torch.tensor(levels, dtype=torch.uint8)[:, None, None, None]


# --- by hand -----------------------------------------------------------------------------------------------


def test_modes_are_frames_that_differ() -> None:
    assert modes(frames(0, 38, 255, 0, 217, 216))[:, 0, 0, 0].tolist() == [0, 255, 216]
    assert modes(frames(38, 76, 0, 77))[:, 0, 0, 0].tolist() == [38, 77], (
        "38 takes in what is near on both sides"
    )
    two = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    two[1, 2, 3, 3] = 39
    assert len(modes(two)) == 2, "one value of one pixel is enough"
    two[1, 2, 3, 3] = 38
    assert len(modes(two)) == 1


def test_shares_of_modes() -> None:
    found = shares(frames(0, 10, 38, 100, 255, 255, 217, 180), frames(0, 80, 255))
    assert found.tolist() == [3 / 8, 1 / 8, 3 / 8, 1 / 8]


def test_a_frame_near_two_modes_is_of_the_first() -> None:
    assert shares(frames(30), frames(0, 60)).tolist() == [1, 0, 0]
    assert shares(frames(30), frames(60, 0)).tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        ((0, 0, 0, 255), (1.0, 1.0, 0.0)),
        ((0, 0, 255, 255), (1.0, 1.0, 0.25)),
        ((0, 0, 0, 0), (0.75, 1.0, 0.25)),
        ((255, 255, 255, 255), (0.25, 1.0, 0.75)),
        ((0, 0, 255, 100), (1.0, 0.75, 0.25)),
        ((64, 64, 64, 64), (0.0, 0.0, 1.0)),  # the mean
        ((0, 128), (0.75, 0.5, 0.5)),  # sets may differ in size
    ],
)
def test_coverage_precision_and_total_variation(
    drawn: tuple[int, ...], expected: tuple[float, float, float]
) -> None:
    assert agreement(frames(*drawn), frames(0, 0, 0, 255))[:3] == expected


def test_energy_distance_is_that_of_its_definition() -> None:
    x, y = frames(0, 51, 51), frames(255, 0)
    a, b = [0, 0.2, 0.2], [1, 0]

    def apart(one: Sequence[float], other: Sequence[float]) -> float:
        return float(np.mean([abs(p - q) for p, q in itertools.product(one, other)]))

    expected = 2 * apart(a, b) - apart(a, a) - apart(b, b)
    assert energy_distance(x, y) == pytest.approx(expected) and expected > 0.1
    assert energy_distance(x, x) == 0
    assert energy_distance(x.expand(-1, 3, 4, 4), y.expand(-1, 3, 4, 4)) == pytest.approx(expected)


def test_equal_frames_are_exactly_no_distance_apart() -> None:
    """Also bright and large ones, and sets in another order and of another size."""
    image = torch.randint(200, 256, (1, 3, 64, 64), generator=Generator().manual_seed(0), dtype=torch.uint8)
    assert energy_distance(image.repeat(40, 1, 1, 1), image.repeat(30, 1, 1, 1)) == 0


# --- coins -------------------------------------------------------------------------------------------------


def compare(dream: Dream, game: Coins | Line, **options: object) -> OutcomeComparison:
    moments = find_moments(game, RandomPolicy(game.action_spec), 2, 6, seed=0, max_steps=5)
    return compare_outcomes(dream, game, moments, seed=0, **options)  # type: ignore[arg-type]


def coin(obs: Tensor, heads: float, generator: Generator) -> Tensor:
    return (torch.rand(obs.shape, generator=generator) < heads).to(torch.uint8) * 255


def test_a_fair_dream_is_as_good_as_the_game() -> None:
    found = compare(Dream(lambda o, a, g: coin(o, HEADS, g)), Coins(HEADS), steps=(1, 3), num_draws=400)
    assert found.steps == (1, 3) and (found.num_modes == 2).all() and found.num_modes.shape == (6, 2)
    for one in (found.dream, found.game):
        assert (one.coverage == 1).all() and (one.precision == 1).all()
        assert one.total_variation.shape == (6, 2)
        assert 0.003 < one.total_variation.mean() < 0.05, "about 0.024 for 400 draws of a quarter"
        assert one.energy.mean() < 0.01 and (one.energy >= 0).all()
    assert not np.array_equal(found.dream.total_variation, found.game.total_variation)


def test_a_dream_of_the_mean_hits_nothing() -> None:
    found = compare(Dream(lambda o, a, g: torch.full_like(o, 64)), Coins(HEADS), num_draws=200)
    assert (found.dream.coverage == 0).all() and (found.dream.precision == 0).all()
    assert (found.dream.total_variation == 1).all()
    # 2 E|X - Y| - E|Y - Y'| with X at a quarter: 2 (3/4 1/4 + 1/4 3/4) - 2 1/4 3/4 = 3/8
    assert np.allclose(found.dream.energy, 0.375, atol=0.1)
    assert (found.game.coverage == 1).all()


def test_a_dream_of_the_likeliest_leaves_out_the_rest() -> None:
    found = compare(Dream(lambda o, a, g: torch.zeros_like(o)), Coins(HEADS), num_draws=400)
    assert np.allclose(found.dream.coverage, 1 - HEADS, atol=0.08) and (found.dream.precision == 1).all()
    assert np.allclose(found.dream.total_variation, HEADS, atol=0.08)
    assert np.allclose(found.dream.total_variation, 1 - found.dream.coverage)


def test_a_dream_with_the_wrong_odds_is_found_out() -> None:
    found = compare(Dream(lambda o, a, g: coin(o, 0.5, g)), Coins(HEADS), num_draws=400)
    assert (found.dream.coverage == 1).all() and (found.dream.precision == 1).all()
    assert np.allclose(found.dream.total_variation, 0.25, atol=0.1)
    assert found.dream.energy.mean() > 10 * found.game.energy.mean()


def test_what_has_ended_keeps_its_last_frame() -> None:
    """Heads ends both: after two steps it shows with probability 1 - 3/4^2 = 7/16."""
    dream = Dream(lambda o, a, g: coin(o, HEADS, g), last=255)
    game = Coins(HEADS, last=None)
    moments = find_moments(game, RandomPolicy(ActionSpec.numbered(1)), 2, 6, seed=0, max_steps=5)
    game.last = 255
    found = compare_outcomes(dream, game, moments, steps=(1, 2), num_draws=400)
    assert found.dream.total_variation.mean(axis=0).max() < 0.06
    endless = compare_outcomes(Dream(dream.draw), game, moments, steps=(1, 2), num_draws=400)
    assert np.allclose(endless.dream.total_variation[:, 1].mean(), 7 / 16 - 1 / 4, atol=0.04)


def test_all_outcomes_of_a_moment_follow_the_same_actions_to_the_same_step() -> None:
    found = compare(Dream(on_the_line), Line(position=1), steps=(1, 2, 5), num_draws=7)
    assert (found.num_modes == 1).all()
    for one in (found.dream, found.game):
        assert (one.coverage == 1).all() and (one.precision == 1).all()
        assert (one.total_variation == 0).all() and (one.energy == 0).all()
    late = compare(Dream(lambda o, a, g: on_the_line(o, 2 - a, g)), Line(position=1), steps=(1,), num_draws=7)
    assert late.dream.coverage.min() == 0, "a dream that turns left for right is not"


def test_everything_follows_from_the_seed() -> None:
    game = Coins(HEADS)
    moments = find_moments(game, RandomPolicy(ActionSpec.numbered(1)), 2, 4, seed=0, max_steps=5)
    dream = Dream(lambda o, a, g: coin(o, HEADS, g))
    first, again, other = (
        compare_outcomes(dream, game, moments, num_draws=50, seed=seed) for seed in (0, 0, 1)
    )
    assert np.array_equal(first.dream.energy, again.dream.energy)
    assert np.array_equal(first.game.energy, again.game.energy)
    assert not np.array_equal(first.dream.energy, other.dream.energy)
