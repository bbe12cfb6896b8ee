"""Actions of several parts in dreams as Gymnasium environments, and actions that are impossible."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, Dict, MultiBinary, MultiDiscrete, Space
from gymnasium.utils.env_checker import check_env
from torch import Generator, Tensor

import adamas
from adamas.agent import Agent
from adamas.core.actions import ActionSpec, Axis, Choice
from adamas.core.checkpoint import save_checkpoint
from adamas.core.config import to_dict
from adamas.core.protocols import DreamState
from adamas.world_models.base import Imagined
from tests.helpers.counting_model import CONFIG, MAKE, CountingModel, write


@pytest.mark.parametrize("actions", [[0], [0, 3], [-1, 0], [0.5, 0.5], [1.0, 1.0]])
def test_impossible_actions_are_refused(actions: list[float], counting: Agent, dataset: Path) -> None:
    dreams = adamas.make_dream(counting, dataset, num_envs=2)
    with pytest.raises(ResetNeeded):
        dreams.step(np.array([0, 0]))
    dreams.reset()
    with pytest.raises(ValueError, match=r"expected 2 actions in Discrete\(3\)"):
        dreams.step(np.array(actions))


def steer(folder: Path, spec: ActionSpec, action: np.ndarray) -> Path:
    """An agent of random weights with these actions, and one episode of 20 frames under the same action."""
    torch.manual_seed(0)
    config = replace(CONFIG, actions=spec)
    agent = Agent(config)
    save_checkpoint(folder / "checkpoints", 1, agent.state_dict(), {"agent": to_dict(config)}, {})
    write(folder / "dataset" / "train", (20,), action=action, spec=spec)
    return folder


MIXED = ActionSpec(
    (Choice(("left", "right"), "way"), Choice(("low", "middle", "high"), "gear")),
    ("horn",),
    (Axis("gas"),),
)


@pytest.mark.parametrize(
    ("spec", "space"),
    [
        (ActionSpec(MIXED.choices), MultiDiscrete([2, 3])),
        (ActionSpec(buttons=("a", "b")), MultiBinary(2)),
        (ActionSpec(axes=(Axis("x"),)), Box(-1, 1, (1,))),
        (MIXED, Dict(choices=MultiDiscrete([2, 3]), buttons=MultiBinary(1), axes=Box(-1, 1, (1,)))),
    ],
)
def test_actions_of_several_parts(spec: ActionSpec, space: Space[Any], tmp_path: Path) -> None:
    run = steer(tmp_path, spec, np.zeros((1, spec.size), np.float32))
    dream = gymnasium.make(MAKE, checkpoint=run, horizon=4)
    assert dream.action_space == space
    check_env(dream.unwrapped)  # its warnings are errors here
    dreams = adamas.make_dream(run, num_envs=3)
    dreams.action_space.seed(0)
    dreams.reset(seed=0)
    for _ in range(3):
        assert dreams.step(dreams.action_space.sample())[0].shape == (3, 8, 4, 3)


def test_every_part_arrives_at_its_place(counting: Agent, tmp_path: Path) -> None:
    run = steer(tmp_path, MIXED, np.zeros((1, 4), np.float32))
    agent = Agent(replace(CONFIG, actions=MIXED))
    seen: list[Tensor] = []

    class Listening(CountingModel):
        def step(
            self, state: DreamState, action: Tensor, generator: Generator
        ) -> tuple[DreamState, Imagined]:
            seen.append(action)
            return super().step(state, action[:, 0].long(), generator)

    agent.world_model = Listening()
    dreams = adamas.make_dream(agent, run / "dataset" / "train", num_envs=2)
    dreams.reset(seed=0)
    action = {"axes": [[-1.0], [0.5]], "buttons": [[0], [1]], "choices": [[1, 2], [0, 0]]}
    dreams.step(action)
    torch.testing.assert_close(seen[0], torch.tensor([[1, 2, 0, -1.0], [0, 0, 1, 0.5]]))
    wrong = [
        (action["axes"], "expected a dict of choices and buttons and axes"),
        (action | {"horn": 1}, "expected a dict"),
        (action | {"axes": [[-1.01], [0.5]]}, "expected 2 actions in Dict"),
        (action | {"choices": [[1, 2.5], [0, 0]]}, "expected 2 actions in Dict"),
    ]
    for other, message in wrong:
        with pytest.raises(ValueError, match=message):
            dreams.step(other)
    assert len(seen) == 1
