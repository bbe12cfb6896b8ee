"""Games and dreams whose every outcome is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from adamas.core.actions import ActionSpec
from adamas.core.protocols import DreamState
from adamas.core.types import Batch
from adamas.envs.rewind import BranchingGame, GameStep
from adamas.world_models.base import Imagined
from tests.helpers.frame_model import FrameModel

WIDTH = 4


class Coins(BranchingGame):
    """Every step a coin falls: one pixel, 255 with probability ``heads``, else 0. Actions change nothing."""

    def __init__(self, heads: float, num_actions: int = 1, last: int | None = None) -> None:
        """``last``: the level that ends the game, if any."""
        self.action_spec = ActionSpec.discrete(tuple("abc"[:num_actions]))
        self.heads, self.last = heads, last

    def reset(self, seed: int) -> Tensor:
        self.restore(None, seed)
        return torch.zeros(1, 1, 1, dtype=torch.uint8)

    def step(self, action: int) -> GameStep:
        level = 255 * int(self.rng.random() < self.heads)
        return GameStep(torch.full((1, 1, 1), level, dtype=torch.uint8), 0.0, level == self.last, False)

    def save(self) -> Any:
        return None

    def restore(self, saved: Any, seed: int) -> None:
        self.rng = np.random.default_rng(seed)


class Line(BranchingGame):
    """A walk on a line of ``WIDTH`` pixels from ``position``: action 0 goes left, 1 stays, 2 goes right.

    A second row of one pixel says how many steps have been taken. Nothing is left to chance.
    """

    action_spec = ActionSpec.discrete(("left", "stay", "right"))

    def __init__(self, position: int = 0, length: int = 1000) -> None:
        self.first, self.length = position, length

    def reset(self, seed: int) -> Tensor:
        self.state = (self.first, 0)
        return picture(*self.state)

    def step(self, action: int) -> GameStep:
        position, age = self.state
        self.state = walk(position, action), age + 1
        return GameStep(picture(*self.state), float(action), age + 1 == self.length, False)

    def save(self) -> Any:
        return self.state

    def restore(self, saved: Any, seed: int) -> None:
        self.state = saved


def walk(position: int, action: int) -> int:
    return min(max(position + action - 1, 0), WIDTH - 1)


def picture(position: int, age: int) -> Tensor:
    """(1, 2, WIDTH) uint8."""
    obs = torch.zeros(1, 2, WIDTH, dtype=torch.uint8)
    obs[0, 0, position] = 255
    obs[0, 1, 0] = age
    return obs


class Dream(FrameModel):
    """A world model that draws its next frames by a function of (frames (B, C, H, W), action (B,), generator)."""

    def __init__(
        self, draw: Callable[[Tensor, Tensor, Generator], Tensor], last: int | None = None, length: int = 2
    ) -> None:
        """``last``: the level of the first pixel that ends a dream, if any."""
        super().__init__()
        self.draw, self.last, self.length = draw, last, length

    def begin(self, context: Batch) -> DreamState:
        return {"obs": context.obs[:, -1]}

    def step(self, state: DreamState, action: Tensor, generator: Generator) -> tuple[DreamState, Imagined]:
        obs = self.draw(state["obs"], action, generator)
        ends = torch.zeros(len(obs), dtype=torch.bool)
        terminated = ends if self.last is None else obs[:, 0, 0, 0] == self.last
        return {"obs": obs}, Imagined(obs, torch.zeros(len(obs)), terminated)


def on_the_line(obs: Tensor, action: Tensor, generator: Generator) -> Tensor:
    """What really happens on the line."""
    moved = [
        picture(walk(int(frame[0, 0].argmax()), int(a)), int(frame[0, 1, 0]) + 1)
        for frame, a in zip(obs, action, strict=True)
    ]
    return torch.stack(moved)
