"""What is refused before any environment is made."""

from __future__ import annotations

from typing import Any

import pytest

from adamas.core.errors import UserError
from adamas.envs import make_env
from adamas.envs.config import AtariConfig, GymnasiumConfig, MinAtarConfig, read_env


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, r"`env\.size` is 0; it must be at least 1"),
        ({"frame_skip": 0}, r"`env\.frame_skip` is 0"),
        ({"noop_max": -1}, r"`env\.noop_max` is -1"),
        ({"max_episode_steps": 0}, r"`env\.max_episode_steps` is 0"),
        ({"sticky_actions": 1.5}, r"`env\.sticky_actions` is 1\.5; it must be at least 0 and at most 1"),
        ({"suite": "gymnasium", "sticky_actions": 0.1}, "unknown configuration key 'sticky_actions'"),
        ({"suite": "minatar", "width": 20}, "unknown configuration key 'width'"),
        ({"suite": "minatr"}, r"key 'suite' cannot be 'minatr'; did you mean 'minatar'"),
    ],
)
def test_values_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_env(options)


def test_no_environments() -> None:
    with pytest.raises(UserError, match="`num_envs` is 0"):
        make_env(AtariConfig(), 0, 0, training=True)


def test_files_of_before_there_was_a_dataclass_for_each_suite() -> None:
    older = {
        **{"suite": "minatar", "game": "freeway", "size": 10, "width": None, "frame_skip": 4, "noop_max": 30},
        **{"sticky_actions": None, "max_episode_steps": None, "life_loss_ends": True, "frames": "auto"},
        **{"frames_key": None, "kwargs": "{}"},
    }
    assert read_env(older) == MinAtarConfig(game="freeway", size=10, sticky_actions=0.1)
    assert read_env({**older, "sticky_actions": 0.0}) == MinAtarConfig(
        game="freeway", size=10, sticky_actions=0.0
    )
    assert read_env({**older, "suite": "atari", "game": "Pong"}) == AtariConfig(game="Pong", size=10)
    other = {**older, "suite": "gymnasium", "game": "CarRacing-v3", "width": 20, "frame_skip": 2}
    assert read_env(other) == GymnasiumConfig(game="CarRacing-v3", size=10, width=20)
