"""Atari against Gymnasium's own preprocessing, and what a lost life means."""

from __future__ import annotations

import ale_py
import gymnasium
import numpy as np
import pytest
import torch

from adamas.core.errors import UserError
from adamas.envs import make_env
from adamas.envs.atari import rom_name
from adamas.envs.config import AtariConfig

NOOP, FIRE = 0, 1


@pytest.mark.parametrize(("game", "frame_skip"), [("Breakout", 4), ("MsPacman", 3)])
def test_frames_are_those_of_atari_preprocessing(game: str, frame_skip: int) -> None:
    pytest.importorskip("cv2")
    gymnasium.register_envs(ale_py)
    raw = gymnasium.make(f"ALE/{game}-v5", frameskip=1, repeat_action_probability=0.0)
    reference = gymnasium.wrappers.AtariPreprocessing(
        raw, noop_max=0, frame_skip=frame_skip, screen_size=64, grayscale_obs=False
    )
    env = make_env(AtariConfig(game=game, frame_skip=frame_skip, noop_max=0), 1, 0, training=False)
    assert isinstance(raw.unwrapped, ale_py.AtariEnv)
    assert [name.upper() for name in env.action_spec.names] == raw.unwrapped.get_action_meanings()

    expected, _ = reference.reset(seed=0)
    assert np.array_equal(env.reset().obs[0].permute(1, 2, 0), expected)
    rng = np.random.default_rng(0)
    score = 0.0
    for t in range(200):
        action = int(rng.integers(env.action_spec.num_actions))
        step = env.step(torch.tensor([action]))
        expected, reward, terminated, truncated, _ = reference.step(action)
        frame = step.final_obs[0] if step.ended else step.obs[0]
        assert np.array_equal(frame.permute(1, 2, 0), expected), f"step {t}"
        assert (step.reward.item(), step.terminated.item(), step.truncated.item()) == (
            reward,
            terminated,
            truncated,
        )
        score += float(reward)
        if terminated or truncated:
            break
    assert score > 0, "nothing happened: the comparison is worth little"
    env.close()


def test_lives_while_training_and_while_evaluating() -> None:
    """A lost life ends that one environment, its game goes on, and an evaluation does not see it."""
    config = AtariConfig(game="Breakout", size=32)
    training, evaluation = (make_env(config, 2, seed=0, training=flag) for flag in (True, False))
    training.reset(), evaluation.reset()
    action = torch.tensor([FIRE, NOOP])  # environment 1 never serves a ball, so that it keeps its five lives
    for life in [1, 2, 3, 4, 5]:
        step = training.step(action)
        while not step.ended.any():
            assert len(step.final_obs) == 0
            assert not evaluation.step(action).ended.any()
            step = training.step(action)
        seen = evaluation.step(action)
        assert step.terminated.tolist() == [True, False] and not step.truncated.any()
        assert seen.terminated.tolist() == [life == 5, False] and not seen.truncated.any()
        assert torch.equal(step.obs, seen.obs), "both play the same game"
        assert len(step.final_obs) == 1
        assert torch.equal(step.final_obs[0], step.obs[0]) == (life < 5), (
            "the game restarts only when it is over"
        )
        short, long = (len(taken) for taken in training.snapshot()["actions"])
        assert (short, short == long) == ((long, True) if life < 5 else (0, False))
    training.close()
    evaluation.close()


def test_life_loss_can_be_ignored_in_training() -> None:
    env = make_env(AtariConfig(game="Breakout", size=16, life_loss_ends=False), 1, seed=0, training=True)
    env.reset()
    for _ in range(60):  # enough to lose the first life, not the last
        assert not env.step(torch.tensor([FIRE])).ended.any()
    assert (env._lives < 5).all()  # type: ignore[attr-defined]
    env.close()


def test_time_limit_counts_steps_of_the_agent() -> None:
    env = make_env(AtariConfig(game="Pong", size=16, max_episode_steps=7), 1, seed=0, training=True)
    env.reset()
    truncated = [env.step(torch.tensor([NOOP])).truncated.item() for _ in range(14)]
    assert [t + 1 for t, flag in enumerate(truncated) if flag] == [7, 14]
    env.close()


def test_lives_are_not_compared_across_games() -> None:
    env = make_env(AtariConfig(game="Breakout", size=16), 1, seed=0, training=True)
    env._lives[:] = 6  # type: ignore[attr-defined]  # as a bonus life of the last game leaves it
    env.reset()
    assert not env.step(torch.tensor([NOOP])).ended.any()
    env.close()


@pytest.mark.parametrize(
    ("written", "rom"),
    [
        ("MsPacman", "ms_pacman"),
        ("ms_pacman", "ms_pacman"),
        ("BREAKOUT", "breakout"),
        ("UpNDown", "up_n_down"),
    ],
)
def test_names_of_games(written: str, rom: str) -> None:
    assert rom_name(written) == rom


@pytest.mark.parametrize(
    ("game", "hint"),
    [
        ("Breakot", "did you mean 'Breakout'"),
        ("combat", "valid: "),
    ],  # combat's ROM is there, but for two players
)
def test_unknown_game(game: str, hint: str) -> None:
    with pytest.raises(UserError, match=f"unknown Atari game '{game}'; {hint}"):
        make_env(AtariConfig(game=game), 1, 0, training=True)
