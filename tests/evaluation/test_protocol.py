"""How a score is made: shares of episodes, sums of rewards, temperature."""

from __future__ import annotations

import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from adamas.core.actions import ActionSpec
from adamas.core.process import Stopped
from adamas.core.protocols import PolicyOutput
from adamas.core.types import EnvReset, EnvStep
from adamas.evaluation.protocol import EpisodeScore, play_episodes
from adamas.rl.random_policy import RandomPolicy

OBS = (1, 2, 2)


class ScriptedEnvs:
    """Environment i plays episodes of ``lengths[i]`` steps; step t (from 1) rewards t."""

    def __init__(self, lengths: list[int]) -> None:
        self.num_envs = len(lengths)
        self.action_spec = ActionSpec.discrete(("left", "right"))
        self.obs_shape = OBS
        self.lengths = torch.tensor(lengths)
        self.actions: list[Tensor] = []

    def reset(self) -> EnvReset:
        self.t = torch.zeros(self.num_envs, dtype=torch.int64)
        return EnvReset(self._obs(self.num_envs))

    def step(self, action: Tensor) -> EnvStep:
        self.actions.append(action)
        self.t += 1
        reward, ended = self.t.float(), self.t == self.lengths
        self.t[ended] = 0
        final_obs = self._obs(int(ended.sum()))
        return EnvStep(
            obs=self._obs(self.num_envs),
            reward=reward,
            terminated=ended,
            truncated=torch.zeros_like(ended),
            final_obs=final_obs,
        )

    def close(self) -> None: ...

    def _obs(self, n: int) -> Tensor:
        return torch.zeros(n, *OBS, dtype=torch.uint8)


class PreferSecond(RandomPolicy):
    """Action 1 is e times as likely as action 0."""

    def __call__(self, obs: Tensor, state: tuple[Tensor, ...]) -> PolicyOutput:
        return PolicyOutput(torch.tensor([[0.0, 1.0]]).expand(len(obs), 2), torch.zeros(len(obs)), state)


def play(lengths: list[int], num_episodes: int) -> list[EpisodeScore]:
    return play_episodes(
        RandomPolicy(ActionSpec.numbered(2)), ScriptedEnvs(lengths), num_episodes, torch.Generator()
    )


def test_short_episodes_are_not_preferred() -> None:
    # 20 short episodes end before the first long one. Two of each were asked for.
    assert play([1, 20], 4) == [(1.0, 1), (1.0, 1), (210.0, 20), (210.0, 20)]


def test_the_first_environments_play_the_remainder() -> None:
    assert play([2, 3], 3) == [(3.0, 2), (3.0, 2), (6.0, 3)]
    assert play([2, 3, 1], 1) == [(3.0, 2)]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(0, 9))
def test_every_environment_plays_its_share(lengths: list[int], num_episodes: int) -> None:
    quotas = [len(range(i, num_episodes, len(lengths))) for i in range(len(lengths))]
    expected = [(n * (n + 1) / 2, n) for n, quota in zip(lengths, quotas, strict=True) for _ in range(quota)]
    assert play(lengths, num_episodes) == expected


def test_it_stops_within_a_few_steps_when_asked() -> None:
    env, stop = ScriptedEnvs([10**9]), threading.Event()
    policy, generator = RandomPolicy(ActionSpec.numbered(2)), torch.Generator()
    original = env.step

    def step(action: Tensor) -> EnvStep:
        if len(env.actions) == 25:
            stop.set()
        return original(action)

    env.step = step  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        play_episodes(policy, env, 1, generator, stop=stop)
    assert 25 < len(env.actions) <= 35


def test_temperature_zero_is_greedy() -> None:
    for temperature, only_second in ((0.0, True), (1.0, False)):
        env = ScriptedEnvs([50])
        play_episodes(
            PreferSecond(ActionSpec.numbered(2)), env, 1, torch.Generator().manual_seed(0), temperature
        )
        assert bool(torch.stack(env.actions).eq(1).all()) is only_second


def test_random_policy_is_uniform() -> None:
    env = ScriptedEnvs([2000])
    play_episodes(RandomPolicy(ActionSpec.numbered(2)), env, 1, torch.Generator().manual_seed(0))
    assert torch.stack(env.actions).float().mean().item() == pytest.approx(0.5, abs=0.05)
