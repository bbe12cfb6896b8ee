"""Scores of agent and random policy, and their statistics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import adamas.evaluation.evaluate
from adamas.agent import Agent
from adamas.core.actions import ActionSpec, Axis
from adamas.core.errors import UserError
from adamas.core.types import EnvReset, EnvStep
from adamas.envs.config import EnvConfig, MinAtarConfig
from adamas.envs.make import make_env
from adamas.evaluation.evaluate import bootstrap_interval, evaluate_agent, score_episodes
from adamas.evaluation.protocol import EpisodeScore
from adamas.evaluation.results import Evaluation, EvaluationProtocol
from tests.helpers.tiny_agent import tiny_agent_config

BREAKOUT = MinAtarConfig(game="breakout", size=10)


def evaluate(agent: Agent, **changes: Any) -> Evaluation:
    options: dict[str, Any] = {
        "episodes": 5,
        "num_envs": 2,
        "seed": 3,
        "device": torch.device("cpu"),
    } | changes
    return evaluate_agent(agent, options.pop("env_config", BREAKOUT), **options)


def test_evaluation_says_what_was_done_and_repeats(agent: Agent) -> None:
    first, again, other = evaluate(agent), evaluate(agent), evaluate(agent, seed=4)
    assert first.protocol == EvaluationProtocol(
        env=BREAKOUT,
        training=False,
        actions="sampled",
        temperature=1.0,
        episodes=5,
        num_envs=2,
        seed=3,
        device="cpu",
    )
    assert list(first.scores) == ["agent", "random policy"]
    for name, score in first.scores.items():
        assert len(score.returns) == len(score.lengths) == 5
        assert score == again.scores[name]
        assert min(score.lengths) > 3, "the ball falls for some steps"
    assert first.agent.lengths != other.agent.lengths
    assert first.provenance.packages["torch"] == torch.__version__
    assert first.run is None and first.target is None


def test_the_random_policy_stays_random_when_the_agent_is_greedy(agent: Agent) -> None:
    sampled, greedy = evaluate(agent), evaluate(agent, temperature=0.0)
    assert greedy.protocol.actions == "greedy"
    assert greedy.random_policy == sampled.random_policy
    assert greedy.agent != sampled.agent


class Levers:
    """One environment that notes the actions of episodes of 1000 steps."""

    num_envs, obs_shape = 1, (3, 10, 10)
    action_spec = ActionSpec(axes=(Axis("lever", 0.0, 4.0),))

    def __init__(self) -> None:
        self.actions: list[float] = []

    def reset(self) -> EnvReset:
        return EnvReset(torch.zeros(1, 3, 10, 10, dtype=torch.uint8))

    def step(self, action: torch.Tensor) -> EnvStep:
        self.actions.append(action.item())
        over, obs = torch.tensor([len(self.actions) % 1000 == 0]), self.reset().obs
        return EnvStep(obs, torch.zeros(1), over, torch.zeros(1, dtype=torch.bool), obs[over])

    def close(self) -> None:
        pass


def test_the_random_policy_is_uniform_on_axes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    games = [Levers(), Levers()]
    made = iter(games)
    monkeypatch.setattr(adamas.evaluation.evaluate, "make_env", lambda *_, **__: next(made))
    evaluate(Agent(replace(tiny_agent_config(), actions=Levers.action_spec)), episodes=2)
    middle = [1 < action < 3 for action in games[1].actions[:2000]]
    assert np.mean(middle) == pytest.approx(0.5, abs=0.03), (
        "an untrained policy would be there in 42 % of the steps"
    )


def test_whole_games_are_played_by_both_policies(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def recording(config: EnvConfig, num_envs: int, seed: int, training: bool) -> Any:
        calls.append((config, num_envs, seed, training))
        return make_env(config, num_envs, seed, training)

    monkeypatch.setattr(adamas.evaluation.evaluate, "make_env", recording)
    evaluate(agent, episodes=1, num_envs=8)
    assert calls[0] == calls[1], "both policies meet the same games"
    assert calls[0][1] == 1 and calls[0][3] is False


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"episodes": 0}, "`episodes` is 0"),
        ({"temperature": -1.0}, "`temperature` is -1.0"),
        ({"env_config": MinAtarConfig(game="breakout", size=20)}, "trained on frames"),
        ({"env_config": MinAtarConfig(game="asterix", size=10)}, "3 actions"),
    ],
)
def test_impossible_evaluations_are_refused(agent: Agent, change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        evaluate(agent, **change)


def test_statistics_by_hand() -> None:
    episodes = [EpisodeScore(score, length) for score, length in [(0, 2), (0, 4), (1, 6), (7, 8)]]
    score = score_episodes(episodes, seed=0)
    assert (score.mean, score.median, score.mean_length) == (2.0, 0.5, 5.0)
    assert score.std == pytest.approx((34 / 4) ** 0.5)
    assert (score.returns, score.lengths) == ([0, 0, 1, 7], [2, 4, 6, 8])
    assert score.mean_interval_95 is not None
    low, high = score.mean_interval_95
    assert 0 <= low < 2 < high <= 7


def test_a_single_episode_has_no_interval() -> None:
    assert score_episodes([EpisodeScore(3, 2)], seed=0).mean_interval_95 is None
    assert bootstrap_interval(np.array([3.0]), seed=0) is bootstrap_interval(np.array([]), seed=0) is None


def test_bootstrap_interval() -> None:
    assert bootstrap_interval(np.array([4.0, 4.0]), seed=0) == (4, 4)
    # Means of two draws from {0, 1} are 0, 1/2, 1 with probabilities 1/4, 1/2, 1/4.
    assert bootstrap_interval(np.array([0.0, 1.0]), seed=0) == (0, 1)
    values = np.random.default_rng(0).normal(10, 2, size=400)
    interval = bootstrap_interval(values, seed=1)
    half_width = 1.96 * values.std() / 20  # the normal approximation is good here
    assert interval == pytest.approx([values.mean() - half_width, values.mean() + half_width], abs=0.02)
    assert interval == bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)
