"""How a score is made."""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator

from adamas.core.actions import ActionSpec
from adamas.core.process import Stopped
from adamas.core.protocols import Policy, PolicyOutput, VectorEnv
from adamas.rl.action_distribution import num_parameters
from adamas.rl.rollout import rollout, start

CHUNK = 10  # steps between two looks at who is done; each look costs one more call of the policy


class EpisodeScore(NamedTuple):
    """One episode: the undiscounted sum of its unclipped rewards, and its number of steps."""

    score: float
    length: int


@torch.no_grad()
def play_episodes(
    policy: Policy,
    env: VectorEnv,
    num_episodes: int,
    generator: Generator,
    temperature: float = 1.0,
    stop: threading.Event | None = None,
) -> list[EpisodeScore]:
    """Play whole episodes in B environments, from their start.

    Every environment plays its own share, fixed beforehand. (Taking the first ``num_episodes`` that end would
    prefer short ones.)

    Args:
        policy: the policy.
        env: B environments.
        num_episodes: how many, in all.
        generator: source of the actions' randomness.
        temperature: of the policy; 0 is greedy.
        stop: ends the evaluation within a few steps, once it is set.

    Raises:
        Stopped: ``stop`` was set.
    """
    share = [num_episodes // env.num_envs + (i < num_episodes % env.num_envs) for i in range(env.num_envs)]
    episodes: list[list[EpisodeScore]] = [[] for _ in share]
    score, length = np.zeros(env.num_envs), np.zeros(env.num_envs, dtype=int)
    position = start(policy, env)
    while any(len(done) < n for done, n in zip(episodes, share, strict=True)):
        if stop is not None and stop.is_set():
            raise Stopped
        steps, position = rollout(policy, env, position, CHUNK, generator, temperature)
        for step in steps.steps:
            score += step.reward.cpu().numpy()
            length += 1
            for i in np.flatnonzero(step.ended.cpu().numpy()):
                if len(episodes[i]) < share[i]:
                    episodes[i].append(EpisodeScore(float(score[i]), int(length[i])))
                score[i] = length[i] = 0
    return [episode for done in episodes for episode in done]


class RandomPolicy:
    """Knows nothing, so takes every option of a choice with the same probability: the baseline."""

    def __init__(self, action_spec: ActionSpec) -> None:
        self.num_parameters = num_parameters(action_spec)

    def initial_state(self, batch_size: int) -> tuple[torch.Tensor, ...]:
        """None."""
        return ()

    def __call__(self, obs: torch.Tensor, state: tuple[torch.Tensor, ...]) -> PolicyOutput:
        """Equal logits and a value of 0."""
        return PolicyOutput(torch.zeros(len(obs), self.num_parameters), torch.zeros(len(obs)), state)
