"""An environment made of a class with options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium
import pytest

from adamas.envs import make_env
from adamas.envs.config import GymnasiumConfig
from tests.helpers.strange_game import GAME, Make, Strange


@pytest.fixture
def make() -> Iterator[Make]:
    """An environment of ``GAME``, made of a class with options."""

    def register(kind: Any = Strange, limit: int | None = 99, config: Any = None, **kwargs: Any) -> Any:
        gymnasium.registry.pop(GAME, None)
        gymnasium.register(GAME, kind, max_episode_steps=limit, kwargs=kwargs)
        return make_env(GymnasiumConfig(game=GAME, size=4, **config or {}), 2, 0, training=True)

    yield register
    gymnasium.registry.pop(GAME, None)
