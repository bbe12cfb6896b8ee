"""What is refused before any environment is made."""

from __future__ import annotations

from typing import Any

import pytest

from adamas.core.errors import UserError
from adamas.envs import EnvConfig, make_env


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, r"env\.size is 0; it must be at least 1"),
        ({"frame_skip": 0}, r"env\.frame_skip is 0"),
        ({"noop_max": -1}, r"env\.noop_max is -1"),
        ({"max_episode_steps": 0}, r"env\.max_episode_steps is 0"),
        ({"sticky_actions": 1.5}, r"env\.sticky_actions is 1\.5; a probability"),
        (
            {"suite": "gymnasium", "sticky_actions": 0.1},
            "sticky_actions does not exist in the gymnasium suite",
        ),
    ],
)
def test_values_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        EnvConfig(**options)


def test_unknown_suite() -> None:
    with pytest.raises(UserError, match=r"unknown env\.suite 'minatr'; did you mean 'minatar'"):
        make_env(EnvConfig(suite="minatr"), 1, 0, training=True)  # type: ignore[arg-type]


def test_no_environments() -> None:
    with pytest.raises(UserError, match="num_envs is 0"):
        make_env(EnvConfig(), 0, 0, training=True)
