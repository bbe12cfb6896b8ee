"""An example of your own game, with a lever instead of buttons: stay under a light that wanders.

    PYTHONPATH=examples adamas train quickstart --env.suite gymnasium --env.game follow:Follow-v0

Any Gymnasium environment that shows RGB pixels can be trained on in this way. Here a light at the top wanders to and
fro. The lever in [-1, 1] moves a paddle at the bottom by up to two columns a step; positions are continuous. Every step
under the light gives a reward of 1, and an episode is a hundred steps long.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box

SIZE, STEPS = 10, 100
SPEED, DRIFT = 2.0, 0.7  # of the paddle at most, and of the light; columns a step
TURN = 0.15  # probability that the light turns
REACH = 0.75  # columns between the centres of light and paddle


class Follow(gymnasium.Env[np.ndarray, np.ndarray]):
    """The game; observations are (10, 10, 3) uint8, actions (1,) float32."""

    observation_space = Box(0, 255, (SIZE, SIZE, 3), np.uint8)
    action_space = Box(-1.0, 1.0, (1,))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start with the paddle in the middle and the light anywhere."""
        super().reset(seed=seed)
        self._steps, self._paddle = 0, (SIZE - 1) / 2
        self._light = float(self.np_random.uniform(0, SIZE - 1))
        self._drift = DRIFT if self.np_random.random() < 0.5 else -DRIFT
        return self._picture(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Move the paddle, then the light."""
        self._paddle = float(np.clip(self._paddle + SPEED * float(action[0]), 0, SIZE - 1))
        if self.np_random.random() < TURN or not 0 <= self._light + self._drift <= SIZE - 1:
            self._drift = -self._drift
        self._light += self._drift
        self._steps += 1
        reward = float(abs(self._paddle - self._light) <= REACH)
        return self._picture(), reward, False, self._steps == STEPS, {}

    def _picture(self) -> np.ndarray:
        """Draw the light and the paddle, each two pixels wide; a pixel that is covered in part is darker."""
        columns = np.arange(SIZE)
        picture = np.zeros((SIZE, SIZE, 3), np.uint8)
        picture[:4] = _overlap(columns, self._light)[:, None]
        picture[-4:, :, 1] = _overlap(columns, self._paddle)
        return picture


def _overlap(columns: np.ndarray, centre: float) -> np.ndarray:
    return (255 * np.clip(1.5 - np.abs(columns - centre), 0, 1)).astype(np.uint8)


gymnasium.register("Follow-v0", entry_point=Follow)
