"""Options of environments: keyword arguments, and options that do not fit."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from adamas.core.errors import UserError
from adamas.envs.config import GymnasiumConfig, read_env
from tests.helpers.strange_game import GAME, Make


def test_keyword_arguments_reach_the_environment(make: Make) -> None:
    env = make(config={"kwargs": '{"length": 3, "colour": 7}'}, length=5, colour=9)
    env.reset()
    steps = [env.step(torch.zeros(2, dtype=torch.int64)) for _ in range(3)]
    assert [bool(step.terminated[0]) for step in steps] == [False, False, True]
    assert steps[0].obs.unique().tolist() == [7]
    with pytest.raises(
        UserError, match=r"AdamasStrange-v0 cannot be made: .*unexpected keyword argument 'wheels'"
    ):
        make(config={"kwargs": '{"wheels": 4}'})
    with pytest.raises(
        UserError, match=r"`env.kwargs` cannot set disable_env_checker, render_mode, which Adamas sets"
    ):
        make(config={"kwargs": '{"render_mode": 4, "disable_env_checker": true}'})


@pytest.mark.parametrize("kwargs", ["", "[1]", "{a: 1}", '{"a": NaN}', "1" * 5000, "[" * 9999, "null"])
def test_keyword_arguments_that_are_not_json_are_refused(kwargs: str) -> None:
    with pytest.raises(
        UserError, match=r"^`env.kwargs` is .*; it must be a JSON object, such as '\{\"domain_rando"
    ):
        GymnasiumConfig(game=GAME, kwargs=kwargs)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"suite": "atari", "kwargs": '{"a": 1}'}, "unknown configuration key 'kwargs'"),
        ({"suite": "minatar", "frames": "render"}, "unknown configuration key 'frames'"),
        ({"suite": "minatar", "frames_key": "a"}, "unknown configuration key 'frames_key'"),
        ({"suite": "gymnasium", "frames_key": "a", "frames": "render"}, "leave one out"),
        (
            {"suite": "gymnasium", "game": "x\nadamas: fine"},
            r"^`env.game` is 'x\\nadamas: fine'; a name has no",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_env(config)
