from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from adamas.core.actions import ActionSpec, Axis, Choice
from adamas.core.config import from_dict, to_dict
from adamas.core.errors import UserError

CAR = ActionSpec(
    (Choice(("first", "second", "third"), "gear"),), ("horn",), (Axis("steer"), Axis("gas", 0.0, 2.0))
)


def test_one_choice_is_a_number_and_everything_else_a_vector() -> None:
    joystick = ActionSpec.discrete(["noop", "fire"])
    assert (joystick.is_discrete, joystick.shape, joystick.dtype) == (True, (), torch.int64)
    assert (joystick.names, joystick.num_actions) == (("noop", "fire"), 2)
    assert (CAR.is_discrete, CAR.shape, CAR.dtype, CAR.size) == (False, (4,), torch.float32, 4)
    assert CAR.entries == ("gear", "horn", "steer", "gas")
    two = ActionSpec((Choice(("a", "b"), "one"), Choice(("a", "b"), "other")))
    assert (two.is_discrete, two.shape) == (False, (2,))
    assert ActionSpec(buttons=("fire",)).shape == (1,)  # pressed or not is no choice among options with names


@pytest.mark.parametrize("spec", [CAR, ActionSpec.numbered(3), ActionSpec(buttons=("w", "a"))])
def test_they_are_saved_and_read(spec: ActionSpec) -> None:
    assert from_dict(ActionSpec, to_dict(spec)) == spec


def test_names_of_several_parts_are_refused() -> None:
    with pytest.raises(
        UserError, match=r"one choice among several actions; here an action is gear, horn, steer, gas"
    ):
        CAR.names  # noqa: B018


def test_kinds_are_equal_whatever_the_names() -> None:
    assert ActionSpec.numbered(2).kind == ActionSpec.discrete(["left", "right"]).kind
    assert ActionSpec.numbered(2).kind != ActionSpec.numbered(3).kind
    assert ActionSpec.numbered(2).kind != ActionSpec(buttons=("left", "right")).kind
    assert ActionSpec(axes=(Axis("x"),)).kind != ActionSpec(axes=(Axis("x", 0, 1),)).kind


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "at least one choice, button or axis"),
        ({"choices": (Choice(()),)}, "action needs different options, got none"),
        ({"choices": (Choice(("a", "a")),)}, "action needs different options, got a, a"),
        ({"buttons": ("fire", "fire")}, "names must differ, got fire, fire"),
        ({"axes": (Axis("x", 1.0, 1.0),)}, "x needs a finite low below high, got 1.0 and 1.0"),
        ({"axes": (Axis("x", 0.0, float("inf")),)}, "x needs a finite low below high"),
    ],
)
def test_impossible_ones_are_refused(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ActionSpec(**parts)


@pytest.mark.parametrize(
    ("action", "problem"),
    [
        ([[2, 1, -1.0, 2.0], [0, 0, 0.5, 0.0]], ""),
        ([2, 1, -1.0, 2.0], ""),
        ([2, 1, -1.0], "expected 4 numbers per action, got shape (3,)"),
        ([[3, 1, 0, 0]], "gear is 3.0; it must be a whole number in [0, 2]"),
        ([[0.5, 1, 0, 0]], "gear is 0.5; it must be a whole number in [0, 2]"),
        ([[0, 2, 0, 0]], "horn is 2.0; it must be a whole number in [0, 1]"),
        ([[0, 0, 0, 0], [0, 0, -1.5, 0]], "steer is -1.5; it must be in [-1, 1]"),
        ([[0, 0, 0, float("nan")]], "gas is nan; it must be in [0, 2]"),
    ],
)
def test_actions_that_are_none(action: list[float], problem: str) -> None:
    assert CAR.problem(np.array(action, np.float64)) == problem


def test_single_numbers_are_checked_too() -> None:
    spec = ActionSpec.numbered(3)
    assert spec.problem(np.array([0, 2])) == "" == spec.problem(np.array(1))
    assert spec.problem(np.array([0, 3])) == "action is 3; it must be a whole number in [0, 2]"
    assert spec.problem(np.zeros((2, 3)), batch_dims=2) == "" != spec.problem(np.zeros((2, 3)), batch_dims=1)
    expected = "expected 1 number per action, got shape (4, 2, 3)"
    assert spec.problem(np.zeros((4, 2, 3)), batch_dims=2) == expected, "these are vectors of three numbers"
    assert spec.problem(np.array([-1])) == "action is -1; it must be a whole number in [0, 2]"
