"""Episodes that do not end by themselves are cut off."""

from __future__ import annotations

import pytest
import torch

from adamas.core.protocols import VectorEnv
from adamas.envs import gymnasium_pixels, make_env, minatar
from adamas.envs.config import MinAtarConfig
from adamas.evaluation.protocol import play_episodes
from adamas.rl.random_policy import RandomPolicy
from tests.helpers.strange_game import FRAME, GAME, Make


def test_an_evaluation_ends_where_episodes_do_not(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gymnasium_pixels, "MAX_STEPS", 50)
    env: VectorEnv = make(limit=None, step=(FRAME, 1.0, False, False, {}))
    policy, generator = RandomPolicy(env.action_spec), torch.Generator()
    with pytest.warns(
        UserWarning, match=f"an episode of {GAME} was cut off after 50 steps; env.max_episode_st"
    ):
        assert play_episodes(policy, env, 4, generator) == [(50.0, 50)] * 4
    own = make(limit=None, config={"max_episode_steps": 60}, step=(FRAME, 1.0, False, False, {}))
    assert play_episodes(policy, own, 2, generator) == [(60.0, 60)] * 2  # and not a word
    registered = make(limit=70, step=(FRAME, 1.0, False, False, {}))
    assert play_episodes(policy, registered, 2, generator) == [(70.0, 70)] * 2


def test_what_is_kept_of_an_endless_episode_is_bounded(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gymnasium_pixels, "MAX_STEPS", 5)
    env = make(limit=None)
    env.reset()
    with pytest.warns(UserWarning, match="cut off"):
        kept = [
            max(map(len, (env.step(torch.zeros(2, dtype=torch.int64)), env.snapshot())[1]["actions"]))
            for _ in range(12)
        ]
    assert kept == [1, 2, 3, 4, 0] * 2 + [1, 2]


def test_minatar_has_a_limit_too(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("minatar")
    assert make_env(MinAtarConfig(game="breakout", size=10), 1, 0, True)._max_steps == 27_000  # type: ignore[attr-defined]
    monkeypatch.setattr(minatar, "MAX_STEPS", 2)
    env = make_env(MinAtarConfig(game="breakout", size=10), 1, 0, training=True)
    env.reset()
    assert not env.step(torch.zeros(1, dtype=torch.int64)).truncated
    with pytest.warns(UserWarning, match="an episode of breakout was cut off after 2 steps"):
        assert env.step(torch.zeros(1, dtype=torch.int64)).truncated
