"""Real frames for dreams to start from: out of a dataset, or from a game that is played for the purpose."""

from __future__ import annotations

from collections import deque
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from adamas.agent import Agent
from adamas.core import runtime
from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.core.types import Batch, single_context
from adamas.data import EpisodeStore
from adamas.data.windows import draw_uniformly
from adamas.envs.vector import RealVectorEnv
from adamas.rl.action_distribution import sample_action
from adamas.rl.rollout import OnHost

WARM_UP = 60  # at most so many steps of the game lie between the starts of two dreams


class Starts(Protocol):
    """Where dreams start."""

    def draw(self, k: int, rng: np.random.Generator) -> Batch:
        """K contexts of L real frames, in CPU memory."""
        ...


class RecordedStarts:
    """Contexts drawn uniformly from all L frames in a row that a dataset holds and that another frame follows."""

    def __init__(self, store: EpisodeStore, agent: Agent) -> None:
        """Look through the dataset.

        Raises:
            UserError: its frames are not the agent's, or it holds too few of them.
        """
        if store.obs_shape != tuple(agent.config.obs_shape):
            raise UserError(
                f"{store.folder} holds frames of shape {store.obs_shape}, but the agent sees "
                f"{tuple(agent.config.obs_shape)}; give the dataset of the game it was trained on"
            )
        self._store = store
        self._length = agent.world_model.context_length
        self._action_spec = agent.action_spec
        # Of n frames the first n - L can begin a context: one more follows its last one.
        self._places = np.maximum(store.lengths - self._length, 0)  # (E,)
        if not self._places.any():
            raise UserError(
                f"{store.folder} has no episode of more than {self._length} frames, and dreams start from "
                f"{self._length} of them; collect some steps first"
            )

    def draw(self, k: int, rng: np.random.Generator) -> Batch:
        """K contexts of L real frames.

        Raises:
            UserError: an action that the agent does not have.
        """
        episode, start = draw_uniformly(self._places, k, rng)
        context = self._store.read(episode, start, self._length)
        if problem := self._action_spec.problem(context.action.numpy()):
            raise UserError(
                f"{self._store.folder} holds actions that the agent does not have ({problem}); "
                "give the dataset of the game it was trained on"
            )
        return context


class PlayedStarts:
    """Contexts from a real game that the agent plays on between one and the next."""

    def __init__(self, env: RealVectorEnv, agent: Agent) -> None:
        """Start the game in ``env``, a single environment."""
        self._env = env
        self._policy = OnHost(agent.actor_critic, runtime.device_of(agent))
        self._trail = Trail(agent.world_model.context_length, env.action_spec)
        self._obs, self._state = env.reset().obs[0], self._policy.initial_state(1)
        self._trail.begin(self._obs)

    def draw(self, k: int, rng: np.random.Generator) -> Batch:
        """K contexts of L real frames; those before the first frame of an episode are padding."""
        contexts = []
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        for _ in range(k):
            for _ in range(int(rng.integers(1, WARM_UP + 1))):
                self._step(generator)
            contexts.append(self._trail.context())
        return Batch.concatenate(contexts)

    @torch.no_grad()
    def _step(self, generator: torch.Generator) -> None:
        logits, _, self._state = self._policy(self._obs[None], self._state)
        action = sample_action(self._env.action_spec, logits, generator)
        step = self._env.step(action)
        self._obs = step.obs[0]
        if step.ended[0]:
            self._state = self._policy.initial_state(1)
            self._trail.begin(self._obs)
        else:
            self._trail.add(action[0], self._obs)


class Trail:
    """The last L frames of one running episode, and the actions between them."""

    def __init__(self, length: int, action_spec: ActionSpec) -> None:
        self._action_spec = action_spec
        self._obs: deque[Tensor] = deque(maxlen=length)
        self._action: deque[Tensor] = deque(maxlen=length - 1)

    def begin(self, obs: Tensor) -> None:
        """Forget everything before the first frame of an episode, (C, H, W) uint8."""
        self._obs.clear()
        self._action.clear()
        self._obs.append(obs)

    def add(self, action: Tensor, obs: Tensor) -> None:
        """An action, () int64 or (K,) float32, and the frame that followed."""
        self._action.append(action)
        self._obs.append(obs)

    def context(self) -> Batch:
        """One context (B = 1) of L frames, padded in front where the episode is younger than that."""
        spec = self._action_spec
        actions = [torch.zeros(0, *spec.shape, dtype=spec.dtype), *(action[None] for action in self._action)]
        return single_context(torch.stack(list(self._obs)), torch.cat(actions), self._obs.maxlen or 0)
