"""Other people's environments: each of their mistakes in one line, and what can be understood is taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from adamas.core.errors import UserError
from adamas.envs.config import GymnasiumConfig
from adamas.envs.rewind import make_branching
from tests.helpers.strange_game import FRAME, GAME, Make, Strange


class Unseeded(Strange):
    """Its reset takes no seed."""

    def reset(self) -> Any:  # type: ignore[override]
        return FRAME, {}


def fail() -> Any:
    raise ValueError("the wheel\ncame off")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            FRAME,
            r"reset\(\) of .* returned an array of shape \(32, 32, 3\); Gymnasium's reset returns obs and a dict",
        ),
        ((FRAME, None), r"reset\(\) of .* returned a tuple of 2"),
        (fail, r"reset\(\) raised ValueError: the wheel came off \(.*test_foreign.py, line \d+\)$"),
    ],
    ids=["obs-only", "no-info", "raises"],
)
def test_a_wrong_reset_is_refused(make: Make, answer: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make(reset=answer)


def test_a_reset_that_takes_no_seed_is_refused(make: Make) -> None:
    with pytest.raises(
        UserError, match=r"reset\(\) of AdamasStrange-v0 takes no seed, .* add the keyword seed"
    ):
        make(Unseeded)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            (FRAME, np.nan, False, False, {}),
            "step 2 of an episode gave the reward nan; a reward must be finite",
        ),
        ((FRAME, -np.inf, False, False, {}), "gave the reward -inf"),
        ((FRAME, 1e39, False, False, {}), r"gave the reward 1e\+39; a reward must be finite \(in float32\)"),
        (
            (FRAME, np.zeros(2), False, False, {}),
            r"gave the reward an array of shape \(2,\); a reward is one number",
        ),
        ((FRAME, None, False, False, {}), r"gave the reward None \(NoneType\)"),
        ((FRAME, "1", False, False, {}), r"gave the reward 1 \(str\)"),
        ((FRAME, 0.0, None, False, {}), "gave None .NoneType. for terminated; it must be True or False"),
        ((FRAME, 0.0, False, np.zeros(2), {}), "for truncated"),
        ((FRAME, 0.0, 0.5, False, {}), "gave 0.5 .float. for terminated"),
        (
            (FRAME[0], 0.0, False, False, {}),
            r"observation of .* has the shape \(32, 3\), but its space says \(32, 32, 3\); correct",
        ),
        (
            fail,
            r"step 2 of an episode raised ValueError: the wheel came off \(.*test_foreign.py, line \d+\)$",
        ),
    ],
    ids=[
        *["nan", "inf", "overflow", "two", "none", "text", "no-flag", "two-flags", "half-flag", "frame"],
        "raises",
    ],
)
def test_a_wrong_step_is_one_line_that_names_the_game(make: Make, answer: Any, message: str) -> None:
    answers = iter([(FRAME, 0.0, False, False, {})] * 2 + [answer] * 2)  # of two environments each

    def step() -> Any:
        answer = next(answers)
        return answer() if callable(answer) else answer

    env = make(step=step)
    env.reset()
    env.step(torch.zeros(2, dtype=torch.int64))
    with pytest.raises(UserError, match=message) as caught:
        env.step(torch.zeros(2, dtype=torch.int64))
    assert GAME in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("limit", [None, 9])
def test_a_step_of_the_old_kind_is_refused(make: Make, limit: int | None) -> None:
    env = make(step=(FRAME, 0.0, False, {}), limit=limit)
    env.reset()
    with pytest.raises(
        UserError, match=r"to unpack .*step\(\) 5|returned a tuple of 4; Gymnasium's step returns obs"
    ):
        env.step(torch.zeros(2, dtype=torch.int64))


@pytest.mark.parametrize(
    ("reward", "flag"),
    [
        (np.array([0.5]), np.array([True])),
        (np.array(0.5), np.array(True)),
        (np.float64(0.5), np.True_),
        (torch.tensor(0.5), torch.tensor(True)),
        (0.5, 1),
    ],
    ids=["one", "array", "numpy", "torch", "int"],
)
def test_one_number_in_any_form_is_taken(make: Make, reward: Any, flag: Any) -> None:
    env = make(step=(FRAME, reward, flag, flag, {}))
    env.reset()
    step = env.step(torch.zeros(2, dtype=torch.int64))
    assert step.reward.tolist() == [0.5, 0.5] and step.reward.dtype == torch.float32
    assert step.terminated.tolist() == step.truncated.tolist() == [True, True]


def test_frames_whose_size_changes_are_resized(make: Make) -> None:
    sizes = iter([64, 32, 16, 8, 5, 7])

    def reset() -> Any:
        size = next(sizes)
        return np.full((size, size, 3), size, np.uint8), {}

    env = make(reset=reset, step=lambda: (np.full((9, 3, 3), 200, np.uint8), 0.0, False, False, {}))
    first = env.reset().obs  # after one reset each to try
    assert first.shape == (2, 3, 4, 4) and first[:, 0, 0, 0].tolist() == [16, 8]
    assert env.step(torch.zeros(2, dtype=torch.int64)).obs.unique().tolist() == [200]


def test_a_game_that_goes_back_is_checked_as_well(make: Make) -> None:
    make(step=(FRAME, np.nan, False, False, {}))
    game = make_branching(GymnasiumConfig(game=GAME, size=4))
    game.reset(0)
    with pytest.raises(UserError, match="step 1 of an episode gave the reward nan"):
        game.step(0)
