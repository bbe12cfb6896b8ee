"""An environment of Gymnasium that answers what it is told to answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from adamas.envs import RealVectorEnv

FRAME = np.full((32, 32, 3), 100, np.uint8)
GAME = "AdamasStrange-v0"


class Strange(gymnasium.Env[Any, Any]):
    """Its answers are what it is told to answer; after ``length`` steps it is over."""

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012
    observation_space = Box(0, 255, FRAME.shape, np.uint8)
    action_space: Any = Discrete(2)

    def __init__(
        self,
        reset: Any = (FRAME, {}),
        step: Any = (FRAME, 0.0, False, False, {}),
        length: int | None = None,
        colour: int = 100,
    ) -> None:
        self.answers, self.length, self.colour = (reset, step), length, colour
        self.taken: list[Any] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.taken = []
        return self._answer(0)

    def step(self, action: Any) -> Any:
        self.taken.append(action)
        if self.length is not None:
            return FRAME // 100 * self.colour, 1.0, len(self.taken) >= self.length, False, {}
        return self._answer(1)

    def _answer(self, which: int) -> Any:
        answer = self.answers[which]
        return answer() if callable(answer) else answer


Make = Callable[..., RealVectorEnv]
