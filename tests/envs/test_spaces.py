from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space, Text, Tuple

from adamas.core.actions import ActionSpec, Axis, Choice
from adamas.core.errors import UserError
from adamas.envs.spaces import action_spec, from_space, space_of, to_space

NESTED = Dict(
    arm=Tuple((Box(np.array([-1, 0], np.float32), np.array([1, 2], np.float32)), Discrete(2, start=5))),
    keys=MultiBinary(2),
    mode=MultiDiscrete([3, 2]),
)


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (Discrete(3, start=-1), ActionSpec.numbered(3)),
        (
            MultiDiscrete([2, 3]),
            ActionSpec((Choice(("0", "1"), "0"), Choice(("0", "1", "2"), "1"))),
        ),
        (MultiBinary(2), ActionSpec(buttons=("0", "1"))),
        (Box(-2, 2, (1, 2)), ActionSpec(axes=(Axis("0", -2, 2), Axis("1", -2, 2)))),
        (
            NESTED,
            ActionSpec(
                (
                    Choice(("0", "1"), "arm/1"),
                    Choice(("0", "1", "2"), "mode/0"),
                    Choice(("0", "1"), "mode/1"),
                ),
                ("keys/0", "keys/1"),
                (Axis("arm/0/0", -1, 1), Axis("arm/0/1", 0, 2)),
            ),
        ),
    ],
)
def test_spaces_are_choices_buttons_and_axes(space: Space[Any], expected: ActionSpec) -> None:
    assert action_spec(space) == expected


def test_an_action_goes_back_to_where_its_parts_came_from() -> None:
    action = to_space(NESTED, action_spec(NESTED), np.array([1, 2, 0, 0, 1, -0.5, 1.5], np.float32))
    assert NESTED.contains(action)
    assert action["arm"][0].tolist() == [-0.5, 1.5] and action["arm"][1] == 6
    assert action["keys"].tolist() == [0, 1] and action["mode"].tolist() == [2, 0]


def test_single_numbers() -> None:
    space = Discrete(3, start=-1)
    assert to_space(space, action_spec(space), np.int64(2)) == 1


def test_ends_that_float32_rounds_outwards() -> None:
    space = Box(-0.3, 0.3, (1,), np.float64)
    action = to_space(space, action_spec(space), np.array([0.3], np.float32))
    assert float(np.float32(0.3)) > 0.3 and space.contains(action)


def test_a_specification_is_the_space_that_it_came_from() -> None:
    for space in (Discrete(3), MultiDiscrete([2, 3]), MultiBinary(2), Box(-2, 2, (2,))):
        assert space_of(action_spec(space)) == space


def test_the_ends_of_an_axis_are_actions_although_float32_rounds_them() -> None:
    spec = ActionSpec((), ("horn",), (Axis("gas", -0.3, 0.1),))
    space = space_of(spec)
    assert isinstance(space, Dict) and isinstance(space["axes"], Box)
    for end in (space["axes"].low, space["axes"].high):
        entries = from_space(spec, {"axes": end, "buttons": [1]})
        assert spec.problem(entries) == ""
        assert entries.tolist() == [1, end[0]]


@pytest.mark.parametrize("space", [Text(3), Box(-np.inf, np.inf, (2,)), Dict(a=Discrete(2), b=Text(1))])
def test_other_spaces_are_refused(space: Space[Any]) -> None:
    with pytest.raises(UserError, match=r"is not supported; wrap the environment"):
        action_spec(space)
