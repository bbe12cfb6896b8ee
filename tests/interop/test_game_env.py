"""Real games as Gymnasium environments, and agents that act in them and in dreams."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import adamas
from adamas.agent import Agent
from adamas.core.errors import UserError
from adamas.envs import make
from adamas.envs.config import MinAtarConfig

pytest.importorskip("minatar")
BREAKOUT = MinAtarConfig(game="breakout", size=10)


def test_frames_rewards_and_ends_are_those_of_the_game() -> None:
    games = adamas.make_env(BREAKOUT, num_envs=3, seed=5)
    real = make.make_env(BREAKOUT, 3, 5, training=False)
    assert games.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    obs, _ = games.reset()
    assert obs.shape == (3, 10, 10, 3) and games.observation_space.contains(obs)
    assert np.array_equal(obs, real.reset().obs.permute(0, 2, 3, 1).numpy())
    games.action_space.seed(0)
    ends = 0
    for _ in range(100):
        action = games.action_space.sample()
        obs, reward, terminated, truncated, info = games.step(action)
        expected = real.step(torch.from_numpy(action))
        assert np.array_equal(obs, expected.obs.permute(0, 2, 3, 1).numpy())
        assert np.array_equal(reward, expected.reward.numpy())
        assert np.array_equal(terminated, expected.terminated.numpy()) and not truncated.any()
        for i, frame in zip(expected.ended_index.tolist(), expected.final_obs, strict=True):
            assert np.array_equal(info["final_obs"][i], frame.permute(1, 2, 0).numpy())
            ends += 1
    assert ends > 0
    games.close()


def test_a_seed_repeats_the_game() -> None:
    games = adamas.make_env(BREAKOUT, num_envs=2)

    def play(seed: int | None) -> np.ndarray:
        frames = [games.reset(seed=seed)[0]]
        frames += [games.step([1, 2])[0] for _ in range(30)]
        return np.stack(frames)

    first = play(3)
    assert np.array_equal(first, play(3)) and not np.array_equal(first, play(4))
    games.close()


def test_one_game_passes_gymnasiums_checker() -> None:
    game = gymnasium.make("adamas.interop.game_env:adamas/Game-v0", game=BREAKOUT, render_mode="rgb_array")
    check_env(game.unwrapped)
    obs, _ = game.reset(seed=1)
    assert np.array_equal(np.asarray(game.render()), obs)
    over = False
    while not over:
        _, _, over, _, _ = game.step(0)
    with pytest.raises(ResetNeeded):
        game.unwrapped.step(0)


def test_the_game_of_a_run(dreamer: Path, tmp_path: Path) -> None:
    for folder in (dreamer, next((dreamer / "checkpoints").glob("step-*"))):
        games = adamas.make_env(folder, num_envs=2)
        assert games.reset()[0].shape == (2, 10, 10, 3)
        games.close()
    with pytest.raises(UserError, match=r"has no config\.yaml"):
        adamas.make_env(tmp_path / "nothing")
    recorded = tmp_path / "recorded"
    recorded.mkdir()
    (recorded / "config.yaml").write_text("env: {suite: atari, game: Breakout}\ndata: drives\n")
    with pytest.raises(UserError, match="trained on recordings"):
        adamas.make_env(recorded)


def test_an_agent_acts_in_games_and_in_its_dreams(dreamer: Path) -> None:
    agent = adamas.load(dreamer, device="cpu")
    for worlds in (
        adamas.make_env(dreamer, num_envs=4),
        adamas.make_dream(agent, dreamer / "dataset" / "train", 4),
    ):
        obs, state = worlds.reset(seed=0)[0], None
        for _ in range(5):
            action, state = agent.act(obs, state)
            obs, *_ = worlds.step(action)
        assert np.shape(action) == (4,)
        worlds.close()


def test_channels_may_come_first_or_last(agent: Agent) -> None:
    obs = np.random.default_rng(0).integers(256, size=(2, 10, 10, 3), dtype=np.uint8)
    first = np.ascontiguousarray(obs.transpose(0, 3, 1, 2))
    assert np.array_equal(agent.act(obs, temperature=0)[0], agent.act(first, temperature=0)[0])
    assert agent.act(obs[0], temperature=0)[0] == agent.act(first[0], temperature=0)[0]
    with pytest.raises(UserError, match="uint8 frames of shape"):
        agent.act(obs[:, :9])


def test_the_package_lists_its_public_names() -> None:
    assert dir(adamas) == sorted(adamas.__all__)
    for name in ("load", "make_dream", "make_env", "Agent", "MinAtarConfig", "sample"):
        assert name in dir(adamas) and getattr(adamas, name) is not None
