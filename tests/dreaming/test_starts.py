"""Starts that an agent plays for; those out of a dataset are tested with the dreams that need them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from adamas.core.actions import ActionSpec
from adamas.core.protocols import PolicyOutput
from adamas.dreaming.starts import WARM_UP, PlayedStarts, Trail
from adamas.envs.vector import Flags, Frames, Integers, RawStep, RealVectorEnv
from adamas.rl.policy import PolicyNetwork

L = 4


class Counting(RealVectorEnv):
    """Frame t of an episode is t everywhere; the action is noted in the second column. Episodes last 7 steps."""

    def __init__(self) -> None:
        super().__init__(1, 0, ActionSpec.discrete(("a", "b", "c")), (1, 2, 2))

    def _reset_envs(self, mask: Flags, seeds: Integers) -> Frames:
        self.time = 0
        return np.zeros((1, 1, 2, 2), np.uint8)

    def _step_envs(self, action: Integers, active: Flags) -> RawStep:
        self.time += 1
        obs = np.full((1, 1, 2, 2), self.time, np.uint8)
        obs[..., 1] = action[0]
        no = np.zeros(1, bool)
        return RawStep(obs, np.zeros(1, np.float32), np.array([self.time == 7]), no, no)

    def close(self) -> None:
        pass


class Randomly(PolicyNetwork):
    """A policy of three equal chances, which counts how many frames of an episode it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def initial_state(self, batch_size: int) -> tuple[Tensor]:
        return (torch.zeros(batch_size, 1),)

    def encode(self, obs: Tensor) -> Tensor:
        raise AssertionError

    def step(self, features: Tensor, state: tuple[Tensor, ...]) -> PolicyOutput:
        raise AssertionError

    def forward(self, obs: Tensor, state: tuple[Tensor, ...]) -> PolicyOutput:
        assert float(state[0]) == float(
            obs[0, 0, 0, 0]
        )  # forgotten at the start of an episode, and only there
        return PolicyOutput(torch.zeros(1, 3), torch.zeros(1), (state[0] + 1,))


class Agent(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.player = Randomly()
        self.world_model = type("WorldModel", (), {"context_length": L})()


def test_played_starts_are_the_last_frames_of_an_episode_and_the_actions_between_them() -> None:
    starts = PlayedStarts(Counting(), Agent())  # type: ignore[arg-type]
    context = starts.draw(300, np.random.default_rng(0))
    assert context.obs.shape == (300, L, 1, 2, 2) and context.action.shape == (300, L - 1)
    newest = context.obs[:, -1, 0, 0, 0]
    assert set(newest.tolist()) == set(range(7))  # never frame 7, which nothing follows
    for i in range(L):  # frame n - i is n - i places before frame n
        expected = newest.int() - i
        assert torch.equal(context.mask[:, L - 1 - i], expected >= 0)
        assert torch.equal(context.obs[:, L - 1 - i, 0, 0, 0].int(), expected.clamp(min=0))
    real = context.mask[:, 1:] & context.mask[:, :-1]
    noted = context.obs[:, 1:, 0, 0, 1].long()
    assert torch.equal(context.action[real], noted[real])
    assert not context.action[~real].any()


def test_played_starts_follow_from_the_generator() -> None:
    one, same, other = (
        PlayedStarts(Counting(), Agent()).draw(5, np.random.default_rng(seed)).obs  # type: ignore[arg-type]
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert WARM_UP > 7  # starts lie in different episodes


def test_a_trail_forgets_the_last_episode() -> None:
    trail = Trail(3, ActionSpec.numbered(6))
    frames = [torch.full((1, 1, 1), i, dtype=torch.uint8) for i in range(10)]
    trail.begin(frames[0])
    for i in range(1, 6):
        trail.add(torch.tensor(i), frames[i])
    assert trail.context().obs.flatten().tolist() == [3, 4, 5]
    assert trail.context().action.tolist() == [[4, 5]]
    trail.begin(frames[9])
    assert trail.context().obs.flatten().tolist() == [0, 0, 9]
    assert trail.context().mask.tolist() == [[False, False, True]]
