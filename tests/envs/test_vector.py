"""Restarting and exact resume: the base class against a tiny environment, then every suite."""

from __future__ import annotations

import io
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.core.types import EnvStep
from adamas.envs import RealVectorEnv, make_env
from adamas.envs.config import AtariConfig, EnvConfig, GymnasiumConfig, MinAtarConfig
from adamas.envs.vector import Flags, Frames, Integers, RawStep

BROKEN = -1


class Counters(RealVectorEnv):
    """Counts from the seed up by ``action + 1``; the frame shows the count modulo 256.

    The game is over at multiples of 7, the time limit reached at multiples of 11, a life lost at those of 5.
    An environment that is not active breaks until its next reset, as the contract of ``_step_envs`` allows.
    """

    def __init__(self, num_envs: int, seed: int) -> None:
        super().__init__(num_envs, seed, ActionSpec.discrete(("one", "two", "three")), (1, 2, 2))
        self.count = np.full(num_envs, BROKEN)

    def _reset_envs(self, mask: Flags, seeds: Integers) -> Frames:
        self.count[mask] = seeds
        return self._frames()[mask]

    def _step_envs(self, action: Integers, active: Flags) -> RawStep:
        assert (self.count[active] != BROKEN).all(), "stepped an environment that was not reset"
        self.count = np.where(active, self.count + action + 1, BROKEN)
        count = self.count
        return RawStep(
            self._frames(), count.astype(np.float32), count % 7 == 0, count % 11 == 0, count % 5 == 0
        )

    def _frames(self) -> Frames:
        return np.tile((self.count % 256).astype(np.uint8)[:, None, None, None], (1, 1, 2, 2))

    def close(self) -> None:
        """Nothing is held."""


def play(env: RealVectorEnv, actions: Tensor) -> list[EnvStep]:
    """One step for each row of ``actions``, (T, B)."""
    return [env.step(action) for action in actions]


def equal(a: EnvStep, b: EnvStep) -> bool:
    names = ("obs", "reward", "terminated", "truncated", "final_obs")
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in names)


def through_a_file(snapshot: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(snapshot, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


def test_restart_within_the_step() -> None:
    env = Counters(4, seed=0)
    env.reset()
    env.count[:] = [6, 21, 4, 100]  # next: 7, game over; 22, time limit; 5, life lost; 101, nothing
    step = env.step(torch.zeros(4, dtype=torch.int64))
    assert step.reward.tolist() == [7, 22, 5, 101]
    assert step.terminated.tolist() == [True, False, True, False]
    assert step.truncated.tolist() == [False, True, False, False]
    assert step.final_obs[:, 0, 0, 0].tolist() == [7, 22, 5]
    assert step.obs[2:, 0, 0, 0].tolist() == [5, 101]  # the game goes on after a lost life
    seeds = env.snapshot()["seeds"]
    assert step.obs[:2, 0, 0, 0].tolist() == [seed % 256 for seed in seeds[:2]]
    assert [len(taken) for taken in env.snapshot()["actions"]] == [0, 0, 1, 1]


@settings(max_examples=50, deadline=None)
@given(st.data(), st.integers(1, 5), st.integers(0, 40), st.integers(0, 2**32))
def test_restored_counters_continue_the_same(
    data: st.DataObject, num_envs: int, before: int, seed: int
) -> None:
    rows = st.lists(st.integers(0, 2), min_size=num_envs, max_size=num_envs)
    actions = torch.tensor(data.draw(st.lists(rows, min_size=before + 20, max_size=before + 20)))
    original, restored = Counters(num_envs, seed), Counters(num_envs, seed + 1)
    obs = original.reset().obs
    for step in play(original, actions[:before]):
        obs = step.obs
    current = restored.restore(through_a_file(original.snapshot()))
    assert current is not None and torch.equal(current.obs, obs)
    assert all(
        equal(a, b)
        for a, b in zip(play(original, actions[before:]), play(restored, actions[before:]), strict=True)
    )


def test_snapshot_is_a_copy() -> None:
    env = Counters(2, seed=0)
    env.reset()
    snapshot = env.snapshot()
    actions = torch.ones(30, 2, dtype=torch.int64)
    first = play(env, actions)
    env.restore(snapshot)
    assert all(equal(a, b) for a, b in zip(first, play(env, actions), strict=True))


def test_snapshot_before_the_first_reset() -> None:
    original, restored = Counters(2, seed=0), Counters(2, seed=1)
    assert restored.restore(through_a_file(original.snapshot())) is None
    assert torch.equal(original.reset().obs, restored.reset().obs)


def test_reset_starts_new_episodes() -> None:
    env = Counters(3, seed=0)
    env.reset()
    first = env.snapshot()
    env.step(torch.zeros(3, dtype=torch.int64))
    env.reset()
    second = env.snapshot()
    assert set(first["seeds"]).isdisjoint(second["seeds"])
    assert all(len(taken) == 0 for taken in second["actions"])


def test_bad_use_is_refused() -> None:
    env = Counters(2, seed=0)
    with pytest.raises(RuntimeError, match="reset"):
        env.step(torch.zeros(2, dtype=torch.int64))
    env.reset()
    for bad in ([0], [0, 3], [-1, 0], [[0, 1], [1, 0]]):
        with pytest.raises(
            ValueError,
            match=r"expected 2 actions|action is (3|-1); it must be a whole number in \[0, 2\]|1 number per action",
        ):
            env.step(torch.tensor(bad))
    with pytest.raises(UserError, match="holds 2 environments and cannot continue in 3"):
        Counters(3, seed=0).restore(env.snapshot())


class Noise(gymnasium.Env[Any, Any]):
    """Random pixels, shifted by the actions so far; over after 9 steps on average."""

    def __init__(self) -> None:
        self.observation_space = Box(0, 255, (8, 8, 3), np.uint8)
        self.action_space = Discrete(3)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.shift = 0
        return self.np_random.integers(200, size=(8, 8, 3), dtype=np.uint8), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.shift += action
        obs = self.np_random.integers(200, size=(8, 8, 3), dtype=np.uint8) + np.uint8(self.shift)
        return obs, self.np_random.random(), self.np_random.random() < 1 / 9, False, {}


NOISE: Any = Noise
gymnasium.register("AdamasNoise-v0", NOISE)

# Every suite. In Atari, environment 0 mostly fires and soon loses; environment 1 never serves a ball, so that
# only the time limit ends its episode.
SUITES: dict[str, EnvConfig] = {
    "atari": AtariConfig(game="Breakout", size=32, noop_max=8, sticky_actions=0.25, max_episode_steps=260),
    "minatar": MinAtarConfig(game="breakout", size=16),
    "gymnasium": GymnasiumConfig(game="AdamasNoise-v0", size=4),
}


def script(num_steps: int) -> Tensor:
    """(T, 2) actions."""
    generator = torch.Generator().manual_seed(0)
    action = torch.tensor([1, 1, 1, 2, 0])[torch.randint(5, (num_steps,), generator=generator)]
    return torch.stack([action, torch.zeros_like(action)], dim=1)


@pytest.mark.parametrize("suite", SUITES)
def test_restored_suite_continues_the_same(suite: str) -> None:
    original, restored = (make_env(SUITES[suite], 2, seed, training=True) for seed in (3, 4))
    actions = iter(script(1000))
    obs = original.reset().obs
    snapshot = original.snapshot()
    while (
        abs(len(snapshot["actions"][0]) - len(snapshot["actions"][1])) < 3
    ):  # so that replay has to align them
        obs = original.step(next(actions)).obs
        snapshot = original.snapshot()
    current = restored.restore(through_a_file(snapshot))
    assert current is not None and torch.equal(current.obs, obs)
    while original.snapshot()["seeds"] == snapshot["seeds"]:  # until a new episode starts
        action = next(actions)
        assert equal(original.step(action), restored.step(action))
    assert original.snapshot()["seeds"] == restored.snapshot()["seeds"]
    original.close()
    restored.close()


@pytest.mark.parametrize("suite", SUITES)
def test_seeds_and_memory(suite: str) -> None:
    one, same, other = (make_env(SUITES[suite], 2, seed, training=True) for seed in (5, 5, 6))
    frames, copies, differs = [], [], False
    for t, action in enumerate([None, *script(30)]):
        a, b, c = (env.reset() if action is None else env.step(action) for env in (one, same, other))
        assert a.obs.shape == (2, *one.obs_shape) and a.obs.dtype == torch.uint8 and a.obs.is_contiguous()
        assert torch.equal(a.obs, b.obs), f"same seed, other frame at step {t}"
        differs |= not torch.equal(a.obs, c.obs)
        frames.append(a.obs)
        copies.append(a.obs.clone())
    assert differs, "the seed is not used"
    assert all(torch.equal(f, c) for f, c in zip(frames, copies, strict=True)), "frames were overwritten"
    for env in (one, same, other):
        env.close()
