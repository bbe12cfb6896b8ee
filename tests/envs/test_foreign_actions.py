"""Actions of other people's environments: odd types are understood, and what nobody can learn is refused."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete

from adamas.core.errors import UserError
from tests.helpers.strange_game import FRAME, Make, Strange


class Offset(Strange):
    """Actions of unusual types, counted from unusual numbers."""

    action_space = Dict(
        a=Discrete(3, start=-1),
        b=MultiDiscrete([2, 3], dtype=np.int8, start=[5, 7]),
        c=Box(0, 9, (1,), np.uint8),
        d=Box(-1, 1, (1,), np.float64),
    )

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        return FRAME, float(action["a"] + action["b"].sum() + action["c"][0]), False, False, {}


def test_actions_of_odd_types_from_odd_numbers_are_understood(make: Make) -> None:
    env = make(Offset)
    env.reset()
    lowest, highest = [0, 0, 0, 0, -1], [2, 1, 2, 9, 1]
    step = env.step(torch.tensor([lowest, highest], dtype=torch.float32))
    assert step.reward.tolist() == [-1 + 5 + 7, 1 + 6 + 9 + 9]
    between = torch.tensor([[0, 0, 0, 4.6, 0], [0, 0, 0, 4.4, 0]])
    assert env.step(between).reward.tolist() == [-1 + 12 + 5, -1 + 12 + 4]  # rounded, not cut


class Huge(Strange):
    """A choice of very many."""

    action_space = Discrete(2**40)


class Boundless(Strange):
    """A lever without ends, whatever its space says."""

    action_space = Box(np.finfo(np.float32).min, np.finfo(np.float32).max, (1,), np.float32)


def test_actions_that_nobody_can_learn_are_refused(make: Make) -> None:
    began = time.monotonic()
    with pytest.raises(
        UserError, match="action is a choice of 1,099,511,627,776; at most 10,000 are supported"
    ):
        make(Huge)
    with pytest.raises(UserError, match=r"action space Box.* is not supported; wrap"):
        make(Boundless)
    assert time.monotonic() - began < 5
