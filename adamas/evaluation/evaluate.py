"""Evaluation of an agent: scores of whole episodes of the real game, beside those of a random policy."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import numpy as np
import torch

from adamas.agent import Agent, check_fits
from adamas.core.checks import check_range
from adamas.core.protocols import Policy
from adamas.core.seeding import derive_seed
from adamas.envs.config import EnvConfig
from adamas.envs.make import make_env
from adamas.evaluation.protocol import EpisodeScore, play_episodes
from adamas.evaluation.provenance import provenance
from adamas.evaluation.results import Evaluation, EvaluationProtocol, Score
from adamas.rl.action_distribution import check_temperature
from adamas.rl.random_policy import RandomPolicy
from adamas.rl.rollout import OnHost

NUM_RESAMPLES = 10_000


def evaluate_agent(
    agent: Agent,
    env_config: EnvConfig,
    *,
    episodes: int,
    num_envs: int,
    seed: int,
    temperature: float = 1.0,
    device: torch.device,
) -> Evaluation:
    """Score an agent on whole episodes of the real environment, and a random policy under the same protocol.

    Args:
        agent: the agent, on ``device``.
        env_config: the game. A lost life does not end an episode here.
        episodes: number of episodes of each policy.
        num_envs: number of environments that are played in parallel. They share the episodes.
        seed: determines everything random, on the same machine.
        temperature: temperature of the agent's policy; 0 is greedy.
        device: device on which the agent's network computes.

    Raises:
        UserError: if the protocol is invalid, or the agent has no policy or was not trained for the environment.
    """
    check_range("episodes", episodes, least=1)
    check_temperature(temperature)
    num_envs = min(num_envs, episodes)
    # The random policy is always sampled. Greedy, it would always take its first action. It is uniform on choices and
    # buttons, but not on axes, so there every action is drawn uniformly in its place (epsilon).
    policies: dict[str, tuple[Policy, float, float]] = {
        "agent": (OnHost(agent.player, device), temperature, 0.0),
        "random_policy": (RandomPolicy(agent.action_spec), 1.0, float(bool(agent.action_spec.axes))),
    }
    scores = {}
    for name, (policy, policy_temperature, policy_epsilon) in policies.items():
        env_seed = derive_seed(seed, "evaluation", "env")  # the same for both policies
        with closing(make_env(env_config, num_envs, env_seed, training=False)) as env:
            check_fits(agent.config, env.obs_shape, env.action_spec, "the agent")
            generator = torch.Generator().manual_seed(derive_seed(seed, "evaluation", name))
            played = play_episodes(
                policy, env, episodes, generator, policy_temperature, epsilon=policy_epsilon
            )
        scores[name] = score_episodes(played, derive_seed(seed, "bootstrap"))
    protocol = EvaluationProtocol(
        env=env_config,
        actions="sampled" if temperature > 0 else "greedy",
        temperature=temperature,
        episodes=episodes,
        num_envs=num_envs,
        seed=seed,
        device=str(device),
    )
    return Evaluation(
        protocol=protocol,
        agent=scores["agent"],
        random_policy=scores["random_policy"],
        provenance=provenance(),
    )


def score_episodes(episodes: Sequence[EpisodeScore], seed: int) -> Score:
    """Compute the score of one or more episodes. ``seed`` is that of its bootstrap interval."""
    returns = np.array([episode.total_reward for episode in episodes])
    lengths = [episode.length for episode in episodes]
    return Score(
        mean=float(returns.mean()),
        std=float(returns.std()),
        median=float(np.median(returns)),
        mean_interval_95=bootstrap_interval(returns, seed),
        mean_length=float(np.mean(lengths)),
        returns=returns.tolist(),
        lengths=lengths,
    )


def bootstrap_interval(values: np.ndarray, seed: int) -> tuple[float, float] | None:
    """The 95 % percentile bootstrap interval of the mean of (n,) values (Efron 1979): its lower and upper end.

    For the episodes of one run, it covers evaluation noise only. Training runs with other seeds vary more. None for
    fewer than two values, which say nothing about their spread.
    """
    if len(values) < 2:
        return None
    rng = np.random.default_rng(seed)
    means = rng.choice(values, (NUM_RESAMPLES, len(values))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
