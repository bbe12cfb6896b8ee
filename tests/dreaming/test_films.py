"""Films of an agent and its dream start alike and hold their last frames."""

from __future__ import annotations

import torch
from torch import Tensor

from adamas.agent import Agent
from adamas.core.actions import ActionSpec
from adamas.core.types import EnvReset, EnvStep
from adamas.dreaming.films import agent_and_dream, play_episode
from adamas.envs.config import MinAtarConfig
from adamas.rl.random_policy import RandomPolicy

BREAKOUT = MinAtarConfig(game="breakout", size=10)


def noise(num_frames: int, size: int, seed: int = 0, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (num_frames, channels, size, size), generator=generator, dtype=torch.uint8)


class Counting:
    """One environment whose frames show the step; it ends after 5 steps and starts again."""

    num_envs, action_spec, obs_shape = 1, ActionSpec.discrete(("left", "right")), (1, 1, 1)

    def reset(self) -> EnvReset:
        self.t = 0
        return EnvReset(torch.zeros(1, 1, 1, 1, dtype=torch.uint8))

    def step(self, action: Tensor) -> EnvStep:
        self.t += 1
        frame = torch.full((1, 1, 1, 1), self.t, dtype=torch.uint8)
        ended = torch.tensor([self.t == 5])
        obs = self.reset().obs if ended else frame
        return EnvStep(
            obs=obs,
            reward=torch.zeros(1),
            terminated=torch.zeros(1, dtype=torch.bool),
            truncated=ended,
            final_obs=frame[ended],
        )

    def close(self) -> None: ...


def test_an_episode_has_its_last_frame() -> None:
    for num_steps, last in ((3, 3), (5, 5), (9, 5)):
        frames, actions = play_episode(
            RandomPolicy(ActionSpec.numbered(2)), Counting(), num_steps, torch.Generator()
        )
        assert frames.flatten().tolist() == list(range(last + 1))
        assert actions.shape == (last,) and actions.dtype == torch.int64


def test_agent_and_dream_start_alike_and_repeat(agent: Agent) -> None:
    def film(seed: int) -> tuple[Tensor, Tensor]:
        return agent_and_dream(agent, BREAKOUT, seed=seed, num_steps=30, device=torch.device("cpu"))

    real, dream = film(0)
    assert real.shape == dream.shape == (34, 3, 10, 10) and real.dtype == dream.dtype == torch.uint8
    assert torch.equal(real[:4], dream[:4]), "the dream starts from the first four real frames"
    assert not torch.equal(dream[3], dream[4]) and not torch.equal(real[4], dream[4])
    assert not torch.equal(real[3], real[4]), "the game goes on after the context"
    assert all(torch.equal(a, b) for a, b in zip((real, dream), film(0), strict=True))
    assert not torch.equal(dream, film(1)[1])
