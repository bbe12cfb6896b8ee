"""Going back to a moment in environments of Gymnasium, and games that cannot go back."""

from __future__ import annotations

import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from adamas.core.errors import UserError
from adamas.envs import EnvConfig
from adamas.envs.config import AtariConfig, GymnasiumConfig
from adamas.envs.rewind import GymnasiumGame, make_branching
from tests.helpers.rewinding import compare_with_make_env, play


class Drift(gymnasium.Env[Any, Any]):
    """A shade of grey that goes up by the action and by chance. ``hidden`` may be what cannot be copied."""

    observation_space = Box(0, 255, (4, 4, 3), np.uint8)
    action_space = Discrete(2)
    render_mode = None

    def __init__(self, hidden: Any = None) -> None:
        self.hidden = hidden

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.level = 0
        return self._frame(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.level += int(action) + 10 * int(self.np_random.integers(3))
        return self._frame(), float(action), False, False, {}

    def _frame(self) -> Any:
        return np.full((4, 4, 3), self.level, np.uint8)


class Pickled(Drift, gymnasium.utils.EzPickle):
    """A copy of it would be a new one."""

    def __init__(self) -> None:
        gymnasium.utils.EzPickle.__init__(self)
        super().__init__()


gymnasium.register("AdamasDrift-v0", lambda **options: Drift(**options), max_episode_steps=6)
gymnasium.register("AdamasPickled-v0", lambda **options: Pickled(**options))
gymnasium.register("AdamasFrozen-v0", lambda **options: Drift(hidden=sys, **options))


def test_gymnasium_goes_back() -> None:
    config = GymnasiumConfig(game="AdamasDrift-v0", size=2)
    compare_with_make_env(config, 6)
    game = make_branching(config, sticky=False)
    game.reset(0)
    before = int(play(game, [1, 1, 0])[-1, 0, 0, 0])
    saved = game.save()
    futures = []
    for seed in (*range(8), 0):
        game.restore(saved, seed)
        assert isinstance(game, GymnasiumGame) and game._steps.tolist() == [3]
        steps = [game.step(1) for _ in range(3)]
        assert [step.truncated for step in steps] == [False, False, True]
        futures.append([int(step.obs[0, 0, 0]) - before for step in steps])
    assert futures[0] == futures[8] and len({tuple(future) for future in futures}) > 3
    assert all(level % 10 == t + 1 for future in futures for t, level in enumerate(future))
    game.close()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            GymnasiumConfig(game="AdamasPickled-v0", size=2),
            "AdamasPickled-v0 cannot be saved .* start a new episode",
        ),
        (GymnasiumConfig(game="AdamasFrozen-v0", size=2), "cannot be saved .* 'module' object; use a game"),
        (AtariConfig(game="Pong", size=161), "`env.size` is 161; frames larger than the screen, 160 pixels"),
        (
            AtariConfig(game="Pong", width=161),
            "`env.width` is 161; frames larger than the screen, 160 pixels",
        ),
        (
            AtariConfig(game="Pong", size=211, width=9),
            "`env.size` is 211; frames larger than the screen, 210 pixels",
        ),
        (AtariConfig(game="Pongg"), "unknown Atari game 'Pongg'; did you mean 'Pong'"),
    ],
)
def test_games_that_cannot_go_back_are_refused(config: EnvConfig, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_branching(config)
