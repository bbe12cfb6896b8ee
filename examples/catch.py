"""A game of one's own, with a lever instead of buttons: catch what falls.

    PYTHONPATH=examples adamas train quickstart --env.suite gymnasium --env.game catch:Catch-v0

Any Gymnasium environment that shows RGB pixels is trained on like this. Here a ball falls from a random column, one row
a step; the lever in [-1, 1] moves a paddle by up to two columns a step, to places between columns as well. A caught
ball gives 1, a lost one -1, and an episode is ten balls long.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box

SIZE, BALLS, SPEED, REACH = 10, 10, 2.0, 1.0  # pixels, balls an episode, pixels a step, pixels between their centres


class Catch(gymnasium.Env[np.ndarray, np.ndarray]):
    """The game; observations are (10, 10, 3) uint8, actions (1,) float32."""

    observation_space = Box(0, 255, (SIZE, SIZE, 3), np.uint8)
    action_space = Box(-1.0, 1.0, (1,))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """The paddle in the middle, a ball at the top."""
        super().reset(seed=seed)
        self._paddle, self._balls = (SIZE - 1) / 2, BALLS
        self._drop()
        return self._picture(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Move the paddle; the ball falls by a row."""
        self._paddle = float(np.clip(self._paddle + SPEED * float(action[0]), 0, SIZE - 1))
        self._row += 1
        reward = 0.0
        if self._row == SIZE - 1:
            reward = 1.0 if abs(self._paddle - self._column) <= REACH else -1.0
            self._balls -= 1
        seen = self._picture()
        if self._row == SIZE - 1:
            self._drop()
        return seen, reward, self._balls == 0, False, {}

    def _drop(self) -> None:
        self._row, self._column = 0, int(self.np_random.integers(SIZE))

    def _picture(self) -> np.ndarray:
        """The ball white; the paddle two pixels wide, brighter where more of it is."""
        picture = np.zeros((SIZE, SIZE, 3), np.uint8)
        overlap = 1.5 - np.abs(np.arange(SIZE) - self._paddle)  # of the pixels with the paddle's two
        picture[-1, :, 1] = 255 * np.clip(overlap, 0, 1)
        picture[self._row, self._column] = 255
        return picture


gymnasium.register("Catch-v0", entry_point=Catch)
