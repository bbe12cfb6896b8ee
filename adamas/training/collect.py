"""Data collection: the policy plays the real game, and every step is added to the replay store."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Generator

from adamas.core.protocols import Policy
from adamas.data.recording import Recording
from adamas.data.store import EpisodeStore
from adamas.envs.vector import RealVectorEnv
from adamas.rl.rollout import Position, Rollout, rollout


class Collector:
    """Plays B real environments and stores every step. Episodes continue from one call to the next."""

    def __init__(self, policy: Policy, env: RealVectorEnv, store: EpisodeStore, generator: Generator) -> None:
        self.policy = policy
        self.env = env
        self.store = store
        self.generator = generator
        self.returns: list[float] = []  # of the episodes that ended since the list was last cleared
        self.reward_signs = torch.zeros(3, dtype=torch.int64)  # how often -1, 0 and +1 were seen
        self._running_return = torch.zeros(env.num_envs)
        self._recording = Recording(store, env.num_envs)
        self._position: Position | None = None

    def collect(
        self, num_steps: int, temperature: float = 1.0, epsilon: float = 0.0, gradients: bool = False
    ) -> Rollout:
        """Take ``num_steps`` steps in each environment and store them.

        Args:
            num_steps: T.
            temperature: temperature of the policy; 0 is greedy.
            epsilon: probability of a uniformly random action.
            gradients: whether to keep the graph, so that the policy can learn from these steps. Under
                ``torch.no_grad`` there is none to keep.
        """
        if self._position is None:
            state = self.policy.initial_state(self.env.num_envs)
            self._position = Position(self.env.reset().obs, state)
        with torch.set_grad_enabled(gradients and torch.is_grad_enabled()):
            steps, self._position = rollout(
                self.policy, self.env, self._position, num_steps, self.generator, temperature, epsilon
            )
        self._store(steps)
        return steps

    def _store(self, steps: Rollout) -> None:
        for t, step in enumerate(steps.steps):
            self._recording.add(steps.obs[:, t], steps.action[:, t], step)
            self._running_return += step.reward
            self.reward_signs += torch.bincount(step.reward.sign().long() + 1, minlength=3)
            self.returns += self._running_return[step.ended].tolist()
            self._running_return[step.ended] = 0

    def state_dict(self) -> dict[str, Any]:
        """The state for a checkpoint, including that of every running episode."""
        position = self._position
        return {
            "env": self.env.snapshot(),
            "policy_state": None if position is None else list(position.policy_state),
            "episode": self._recording.episode.tolist(),
            "reward_signs": self.reward_signs.clone(),
            "running_return": self._running_return.clone(),
            "returns": list(self.returns),
            "num_rows": self.store.num_rows,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a checkpoint: the replay store, the environments and the running episodes."""
        self.store.truncate(state["num_rows"])
        reset = self.env.restore(state["env"])
        self._position = None if reset is None else Position(reset.obs, tuple(state["policy_state"]))
        self._recording.episode = np.array(state["episode"])
        self.reward_signs = state["reward_signs"].clone()
        self._running_return = state["running_return"].clone()
        self.returns = list(state["returns"])
