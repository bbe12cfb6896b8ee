"""Comparing games that go back to a moment with the usual environments."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from adamas.envs import EnvConfig, make_env
from adamas.envs.rewind import BranchingGame, make_branching


def compare_with_make_env(config: EnvConfig, num_steps: int, action: int | None = None) -> tuple[bool, bool]:
    """Play both, at random or always ``action``, and assert that they are equal: how the last step ended."""
    env, game = make_env(config, 1, seed=0, training=False), make_branching(config)
    assert env.action_spec == game.action_spec
    rng = np.random.default_rng(0)
    first = env.reset().obs[0]
    assert torch.equal(game.reset(env.snapshot()["seeds"][0]), first)
    frames = {first.numpy().tobytes()}
    for t in range(num_steps):
        taken = int(rng.integers(env.action_spec.num_actions)) if action is None else action
        expected, step = env.step(torch.tensor([taken])), game.step(taken)
        frame = expected.final_obs[0] if expected.ended[0] else expected.obs[0]
        assert torch.equal(step.obs, frame), f"step {t}"
        assert step.reward == expected.reward.item()
        assert (step.terminated, step.truncated) == (expected.terminated.item(), expected.truncated.item())
        frames.add(frame.numpy().tobytes())
        if expected.ended[0]:
            break
    assert len(frames) > 1, "nothing happened: the comparison is worth little"
    env.close()
    game.close()
    return step.terminated, step.truncated


def play(game: BranchingGame, actions: list[int]) -> Tensor:
    return torch.stack([game.step(action).obs for action in actions])
