"""Action sensitivity of dreams: by hand, on a line where the walls make two actions the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from adamas.core.actions import ActionSpec
from adamas.fidelity.action_sensitivity import (
    Sensitivity,
    compare_actions,
    confusion_plot,
    measure_sensitivity,
)
from adamas.fidelity.moments import Moment, find_moments
from adamas.rl.random_policy import RandomPolicy
from tests.helpers.toy_games import WIDTH, Coins, Dream, Line, on_the_line, picture

ANYWHERE, AT_THE_WALL = 1, 0
DISTANCE = (2 * 255**2 / (2 * WIDTH)) ** 0.5 / 255  # between two frames that differ in the place


def moment_at(position: int) -> Moment:
    game = Line(position)
    (moment,) = find_moments(game, RandomPolicy(ActionSpec.numbered(3)), 1, 1, seed=0, max_steps=0)
    assert moment.saved == (position, 0)
    return moment


def measure(dream: Dream, *positions: int, horizon: int = 1) -> Sensitivity:
    return measure_sensitivity(dream, Line(), [moment_at(p) for p in positions], horizon=horizon)


def test_a_perfect_dream_anywhere() -> None:
    found = measure(Dream(on_the_line), ANYWHERE)
    assert found.horizon == 1 and found.decisive.tolist() == [True]
    assert np.array_equal(found.looks_like[0], np.eye(3)) and np.array_equal(found.perfect[0], np.eye(3))
    assert found.accuracy.tolist() == [1] and found.chance.tolist() == [pytest.approx(1 / 3)]
    assert found.correlation.tolist() == [pytest.approx(1)]
    # Each frame is 2/3 of a pixel above the mean in one place and 1/3 below it in two: 4/9 + 1/9 + 1/9.
    assert np.allclose(found.game_change, (6 / 9 / (2 * WIDTH)) ** 0.5)
    assert np.array_equal(found.game_change, found.dream_change)


def test_actions_that_do_the_same_count_in_equal_parts() -> None:
    """At the left wall, left and stay are one."""
    found = measure(Dream(on_the_line), AT_THE_WALL)
    expected = [[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]]
    assert found.looks_like[0].tolist() == expected and found.perfect[0].tolist() == expected
    assert found.accuracy.tolist() == [1], "nobody can do better"
    assert found.chance.tolist() == [pytest.approx((2 + 2 + 1) / 9)]
    assert np.allclose(found.game_change[0] ** 2 * 2 * WIDTH, [2 / 9, 2 / 9, 8 / 9])


def test_a_dream_that_takes_right_for_left() -> None:
    found = measure(Dream(lambda o, a, g: on_the_line(o, 2 - a, g)), ANYWHERE, AT_THE_WALL)
    assert found.confusion.tolist() == [[0, 0, 1], [0.25, 0.75, 0], [0.75, 0.25, 0]]
    assert found.perfect_confusion.tolist() == [[0.75, 0.25, 0], [0.25, 0.75, 0], [0, 0, 1]]
    assert found.accuracy.tolist() == [pytest.approx(1 / 3)] * 2
    # Anywhere: of the products of changes in the three places two are 2/3 1/3 too much, as far as they go ...
    true = np.eye(3) - 1 / 3
    assert found.correlation[0] == pytest.approx((true * true[::-1]).sum() / (true * true).sum())


def test_a_dream_that_does_not_listen() -> None:
    found = measure(Dream(lambda o, a, g: on_the_line(o, torch.ones_like(a), g)), ANYWHERE, AT_THE_WALL)
    assert np.array_equal(found.dream_change, np.zeros((2, 3)))
    assert found.correlation.tolist() == [0, 0]
    assert found.looks_like[0].tolist() == [[0, 1, 0]] * 3
    assert np.allclose(found.accuracy, [1 / 3, 2 / 3])


def test_a_frame_as_near_to_all_as_to_any_is_right_by_chance_alone() -> None:
    """A black frame has the same distance to every picture of the line."""
    found = measure(Dream(lambda o, a, g: torch.zeros_like(o)), ANYWHERE, AT_THE_WALL)
    assert np.allclose(found.looks_like, 1 / 3)
    assert np.allclose(found.accuracy, found.chance)


def test_effects_that_are_too_small_keep_their_accuracy() -> None:
    """Half of what happens, half of what was."""

    def timid(obs: Tensor, action: Tensor, generator: Generator) -> Tensor:
        moved = on_the_line(obs, action, generator).int()
        return ((moved + on_the_line(obs, torch.ones_like(action), generator).int()) // 2).to(torch.uint8)

    found = measure(Dream(timid), 1, 2)
    assert np.allclose(found.correlation, 1, atol=1e-4)
    assert np.allclose(found.dream_change / found.game_change, 0.5, atol=0.01)
    assert (found.accuracy > 1 / 3).all() and (found.accuracy < 1).all(), "half a move is as near to none"


def test_blurred_dreams_are_told_apart_by_what_differs() -> None:
    """Frames of two pixels, by hand: the dream of the first action is nearer to the second's frame, and yet fits."""
    true = torch.tensor([[0, 0], [100, 100], [100, 100]], dtype=torch.uint8).view(1, 3, 1, 1, 2)
    dreamt = torch.tensor([[60, 60], [70, 70], [60, 60]], dtype=torch.uint8).view(1, 3, 1, 1, 2)
    found = compare_actions(dreamt, true, 1)
    assert found.looks_like[0].tolist() == [[0, 0.5, 0.5]] * 3
    # Own 60^2 + 30^2 against exchanged 40^2 + 70^2; the third dream is the first one's; the last two actions are one.
    expected = [[np.nan, 1, 0.5], [1, np.nan, np.nan], [0.5, np.nan, np.nan]]
    np.testing.assert_array_equal(found.told_apart[0], expected)
    wrong = compare_actions(dreamt[:, [1, 0, 2]], true, 1)
    assert wrong.told_apart[0, 0, 1] == 0 and wrong.told_apart[0, 1, 0] == 0


def test_actions_are_held_for_the_horizon() -> None:
    found = measure(Dream(on_the_line), ANYWHERE, horizon=2)
    assert found.horizon == 2 and found.accuracy.tolist() == [1]
    frames = torch.stack([picture(p, 2) for p in (0, 1, 3)])[None]
    expected = compare_actions(frames, frames, 2)
    assert np.array_equal(found.game_change, expected.game_change)
    slow = measure(Dream(lambda o, a, g: on_the_line(o, torch.where(a == 2, 1, a), g)), ANYWHERE, horizon=2)
    assert slow.looks_like[0].tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 0]]


def test_moments_without_a_choice_are_left_out() -> None:
    """Coins fall as they like; the seed is the same for all actions, and so is the noise of a dream."""
    game = Coins(0.5, num_actions=3)
    moments = find_moments(game, RandomPolicy(ActionSpec.numbered(3)), 1, 4, seed=0, max_steps=3)
    dream = Dream(lambda o, a, g: torch.randint(256, o.shape, generator=g, dtype=torch.uint8), length=1)
    found = measure_sensitivity(dream, game, moments, horizon=3)
    assert not found.decisive.any()
    assert (found.game_change == 0).all() and (found.dream_change == 0).all()
    assert all(np.isnan(x).all() for x in (found.accuracy, found.chance, found.correlation))
    assert np.isnan(found.confusion).all() and found.confusion.shape == (3, 3)

    frames = torch.stack([picture(p, 0) for p in (0, 1, 2, 3, 3, 3)]).view(2, 3, 1, 2, WIDTH)
    mixed = compare_actions(frames, frames, 1)
    assert mixed.decisive.tolist() == [True, False]
    assert np.array_equal(mixed.confusion, np.eye(3)), "of the first alone"
    assert np.isnan(mixed.accuracy[1]) and mixed.accuracy[0] == 1


def test_an_effect_where_there_is_none_shows_in_the_changes() -> None:
    same = picture(0, 0).expand(1, 3, -1, -1, -1)
    dreamt = torch.stack([picture(p, 0) for p in (0, 1, 2)])[None]
    found = compare_actions(dreamt, same, 1)
    assert (found.game_change == 0).all() and (found.dream_change > 0).all() and not found.decisive.any()


def test_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = measure(Dream(lambda o, a, g: on_the_line(o, 2 - a, g)), ANYWHERE, AT_THE_WALL)
    figure = confusion_plot(found, Line.action_spec.names)
    perfect, dream, _ = figure.axes
    shares = [float(text.get_text()) for text in dream.texts]
    assert shares == [0, 0, 1, 0.25, 0.75, 0, 0.75, 0.25, 0]
    assert [text.get_text() for text in perfect.texts][:2] == ["0.75", "0.25"]
    assert [label.get_text() for label in dream.get_yticklabels()] == ["left", "stay", "right"]
    figure.savefig(tmp_path / "plot.png")
    frames = torch.randint(256, (1, 18, 1, 2, 2), dtype=torch.uint8)
    crowded = confusion_plot(compare_actions(frames, frames, 1), [f"action {i}" for i in range(18)])
    assert len(crowded.axes[0].texts) == 0
    crowded.savefig(tmp_path / "crowded.png")
