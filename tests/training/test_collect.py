"""Real steps: what is played is what is stored, across calls and across a resume."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch

from adamas.core.actions import ActionSpec
from adamas.data.store import EpisodeStore
from adamas.envs.config import MinAtarConfig
from adamas.envs.make import make_env
from adamas.rl.random_policy import RandomPolicy
from adamas.training.collect import Collector

GAME = MinAtarConfig(game="breakout", size=10, max_episode_steps=30)
NUM_ACTIONS = 3


def collector(folder: Path, num_envs: int = 2) -> Collector:
    env = make_env(GAME, num_envs, seed=1, training=True)
    assert env.action_spec == ActionSpec.discrete(("noop", "left", "right"))
    store = EpisodeStore.create(folder, env.obs_shape)
    return Collector(
        RandomPolicy(ActionSpec.numbered(NUM_ACTIONS)), env, store, torch.Generator().manual_seed(2)
    )


def test_the_store_holds_what_was_played(tmp_path: Path) -> None:
    played = collector(tmp_path / "a", num_envs=1)
    action = torch.cat([played.collect(n).action[0] for n in (40, 1, 79)])
    env = make_env(GAME, 1, seed=1, training=True)
    obs, frames, rewards, index = env.reset().obs, [], [], 0
    for t, step in enumerate(env.step(a[None]) for a in action):
        frames.append(obs[0].numpy())
        rewards.append(float(step.reward))
        if step.ended:
            stored = played.store.episode(index)
            assert np.array_equal(stored.obs, [*frames, step.final_obs[0].numpy()])
            assert stored.action.tolist() == action[t + 1 - len(stored) : t + 1].tolist()
            assert stored.reward.tolist() == rewards
            assert stored.terminated.tolist() == [False] * (len(stored) - 1) + [bool(step.terminated)]
            assert stored.truncated.tolist() == [False] * (len(stored) - 1) + [bool(step.truncated)]
            frames, rewards, index = [], [], index + 1
        obs = step.obs
    assert index >= 3
    assert played.store.num_steps == 120
    running = played.store.episode(index)
    assert np.array_equal(running.obs, frames)


def test_counts_and_returns_agree_with_the_store(tmp_path: Path) -> None:
    played = collector(tmp_path / "a")
    for _ in range(10):
        played.collect(40)
    store = played.store
    assert sorted(played.returns) == sorted(store.returns[store.ended])
    assert sum(played.returns) > 0
    signs = np.concatenate([np.sign(e.reward) for e in store])
    assert played.reward_signs[2] >= (signs == 1).sum() > 0
    assert played.reward_signs[0] == 0
    assert played.reward_signs.sum() == store.num_steps == 800


def test_epsilon_1_is_uniform_whatever_the_policy(tmp_path: Path) -> None:
    played = collector(tmp_path / "a")
    steps = played.collect(600, temperature=0.0, epsilon=1.0)
    counts = torch.bincount(steps.action.flatten(), minlength=NUM_ACTIONS)
    assert (counts > 320).all() and (counts < 480).all()  # of 1200: 400 +- 5 standard deviations
    greedy = collector(tmp_path / "b").collect(50, temperature=0.0, epsilon=0.0)
    assert (greedy.action == greedy.action[0, 0]).all()


def test_a_collector_goes_on_from_its_state(tmp_path: Path) -> None:
    first = collector(tmp_path / "a")
    first.collect(37)
    first.store.commit()
    state, random = copy.deepcopy(first.state_dict()), first.generator.get_state()
    first.collect(50)
    expected = [vars(episode) for episode in first.store]

    env = make_env(GAME, 2, seed=99, training=True)
    store = EpisodeStore.open(tmp_path / "a")
    store.commit()
    second = Collector(RandomPolicy(ActionSpec.numbered(NUM_ACTIONS)), env, store, torch.Generator())
    second.load_state_dict(state)
    assert store.num_steps == 2 * 37
    second.generator.set_state(random)
    second.collect(50)
    assert len(list(store)) == len(expected)
    for episode, other in zip(store, expected, strict=True):
        for name, array in vars(episode).items():
            assert np.array_equal(array, other[name]), name
    assert second.returns == first.returns
    assert second.reward_signs.equal(first.reward_signs)


def test_a_collector_that_never_began_starts_from_its_state(tmp_path: Path) -> None:
    first = collector(tmp_path / "a")
    state = copy.deepcopy(first.state_dict())
    second = collector(tmp_path / "b")
    second.load_state_dict(state)
    assert first.collect(20).obs.equal(second.collect(20).obs)
