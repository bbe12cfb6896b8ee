"""Evaluation protocol: playing whole episodes with a policy and recording their returns."""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator

from adamas.core.process import Stopped
from adamas.core.protocols import Policy, VectorEnv
from adamas.rl.rollout import rollout, start

CHUNK = 10  # steps between two checks for finished episodes; each check costs one extra call of the policy


class EpisodeScore(NamedTuple):
    """Undiscounted sum of the unclipped rewards of an episode, and its length in steps."""

    total_reward: float
    length: int


@torch.no_grad()
def play_episodes(
    policy: Policy,
    env: VectorEnv,
    num_episodes: int,
    generator: Generator,
    temperature: float = 1.0,
    stop: threading.Event | None = None,
    epsilon: float = 0.0,
) -> list[EpisodeScore]:
    """Play whole episodes in B environments, and return them ordered by environment.

    Each environment plays a fixed number. Taking the first ``num_episodes`` that end would be biased to short ones.

    Args:
        policy: the policy to evaluate.
        env: B environments.
        num_episodes: total number of episodes.
        generator: for sampling actions.
        temperature: temperature of the policy; 0 is greedy.
        stop: event that ends the evaluation within a few steps after it is set.
        epsilon: probability of a uniformly random action.

    Raises:
        Stopped: if ``stop`` was set.
    """
    share = [num_episodes // env.num_envs + (i < num_episodes % env.num_envs) for i in range(env.num_envs)]
    episodes: list[list[EpisodeScore]] = [[] for _ in share]
    score, length = np.zeros(env.num_envs), np.zeros(env.num_envs, dtype=int)
    position, _ = start(policy, env)
    while any(len(done) < n for done, n in zip(episodes, share, strict=True)):
        if stop is not None and stop.is_set():
            raise Stopped
        steps, position = rollout(policy, env, position, CHUNK, generator, temperature, epsilon)
        for step in steps.steps:
            score += step.reward.cpu().numpy()
            length += 1
            for i in np.flatnonzero(step.ended.cpu().numpy()):
                if len(episodes[i]) < share[i]:
                    episodes[i].append(EpisodeScore(float(score[i]), int(length[i])))
                score[i] = length[i] = 0
    return [episode for done in episodes for episode in done]
