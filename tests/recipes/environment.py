"""Example of a suite of games of its own: a dot that actions move along a row of pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from adamas.core.actions import ActionSpec
from adamas.envs.config import SuiteConfig
from adamas.envs.vector import Flags, Frames, Integers, RawStep, RealVectorEnv


@dataclass(frozen=True, kw_only=True)
class RowConfig(SuiteConfig):
    """A row of pixels (suite row)."""

    suite: Literal["row"] = "row"
    """Library that the game comes from."""
    game: str = "row"
    """Name of the game."""
    size: int = 10
    """Height and width of a frame in pixels."""


class RowEnvs(RealVectorEnv):
    """B games: a bright dot starts anywhere in the row, and gets a reward at its right end."""

    def __init__(self, config: RowConfig, num_envs: int, seed: int) -> None:
        actions = ActionSpec.discrete(("left", "right"))
        super().__init__(num_envs, seed, actions, config.obs_shape)
        self.max_steps = config.max_episode_steps or 100
        self._position = np.zeros(num_envs, dtype=np.int64)
        self._age = np.zeros(num_envs, dtype=np.int64)

    def _reset_envs(self, mask: Flags, seeds: Integers) -> Frames:
        """Start episodes in the environments of ``mask``; the seed alone determines where."""
        starts = [np.random.default_rng(seed).integers(self.obs_shape[2]) for seed in seeds]
        self._position[mask] = starts
        self._age[mask] = 0
        return self._frames()[mask]

    def _step_envs(self, action: Integers, active: Flags) -> RawStep:
        """Move every dot one pixel to the left or to the right."""
        last = self.obs_shape[2] - 1
        self._position = (self._position + 2 * action - 1).clip(0, last)
        self._age += 1
        arrived = self._position == last
        reward = arrived.astype(np.float32)
        truncated = (self._age >= self.max_steps) & ~arrived
        return RawStep(self._frames(), reward, arrived, truncated, lost_life=np.zeros_like(arrived))

    def _frames(self) -> Frames:
        frames = np.zeros((self.num_envs, *self.obs_shape), dtype=np.uint8)
        frames[np.arange(self.num_envs), :, :, self._position] = 255
        return frames

    def close(self) -> None:
        """Nothing to release."""
