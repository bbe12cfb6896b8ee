"""A driver for Gymnasium's race track that sees only the frames, and how to record it.

    pip install -e '.[box2d]'
    PYTHONPATH=examples adamas data record cars --env.suite gymnasium --env.game CarRacing-v3 --env.size 64 \\
        --policy follow_road:drive --epsilon 0.1 --repeat 0.7 --steps 10000

Any function like ``drive`` can be recorded in this way. Without ``--epsilon`` and ``--repeat`` it drives lap after lap.
With them it repeats each action for a few frames and takes one action in ten at random, so that it also leaves the road
and returns to it.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

CAR, HORIZON = 0.66, 0.40  # rows of the car and of the road ahead, from the top
REACH = 0.16  # columns to each side in which the road goes on, a row further
GAUGE = 250  # units of length a second that the white bar shows when all of its place is filled


def drive(frames: np.ndarray) -> np.ndarray:
    """Steering, gas and brake, (B, 3), for frames (B, 3, H, W) uint8."""
    height, width = frames.shape[2:]
    bar = frames[:, 0, int(0.875 * height) :, round(0.125 * width) : round(0.15 * width)]
    speed = GAUGE * bar.mean(axis=(1, 2)) / 255
    turn = np.array([_turn(frame.astype(np.int64)) for frame in frames])
    faster = np.maximum(60 - 90 * abs(turn), 15) - speed
    return np.stack(
        [np.clip(1.5 * turn, -1, 1), np.clip(faster / 60, 0, 1), np.clip(-faster / 60, 0, 1)], axis=1
    )


def _turn(frame: np.ndarray) -> float:
    """The direction of the road ahead, from left (-1) to right (1)."""
    _, height, width = frame.shape
    red, green, _ = frame
    road = (abs(green - red) < 40) & (red < 160)  # it is grey, the grass green
    columns = np.arange(width) + 0.5
    centre = width / 2
    for row in range(int(CAR * height), int(HORIZON * height), -1):
        near = road[row] & (abs(columns - centre) < REACH * width)
        if near.any():
            centre = (centre + columns[near].mean()) / 2
    return float(2 * centre / width - 1)


class FourTicks(gymnasium.Wrapper[Any, Any, Any, Any]):
    """The same track at 12.5 steps a second instead of 50: an action lasts four ticks, whose rewards are summed."""

    def __init__(self, **options: Any) -> None:
        """``options`` are those of CarRacing-v3."""
        super().__init__(gymnasium.make("CarRacing-v3", **options))

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take an action for four ticks, or until the episode ends."""
        total = 0.0
        for _ in range(4):
            obs, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            if terminated or truncated:
                break
        return obs, total, terminated, truncated, info


gymnasium.register("CarRacingFourTicks-v0", entry_point=FourTicks)
