"""Dreams as an environment: a world model, real frames from which dreams start, and a horizon."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Generator, Tensor

from adamas.core.actions import ActionSpec
from adamas.core.protocols import WorldModel
from adamas.core.types import Batch, EnvReset, EnvStep, History

Contexts = Callable[[int], Batch]
"""``K -> batch of K segments of L real frames`` from which dreams start."""


class Imagination:
    """``num_envs`` dreams, stepped together: a :class:`~adamas.core.protocols.VectorEnv`.

    A dream starts from L real frames. It is terminated when the world model predicts the end, and truncated after
    ``horizon`` steps. A dream that ends restarts within the same step, from new real frames, while the others go on.
    """

    def __init__(
        self,
        world_model: WorldModel,
        contexts: Contexts,
        num_envs: int,
        horizon: int,
        obs_shape: tuple[int, int, int],
        action_spec: ActionSpec,
        generator: Generator,
    ) -> None:
        self.world_model = world_model
        self.contexts = contexts
        self.num_envs = num_envs
        self.horizon = horizon
        self.obs_shape = obs_shape
        self.action_spec = action_spec
        self.generator = generator

    def reset(self) -> EnvReset:
        """Start all dreams from new contexts."""
        context = self.contexts(self.num_envs)
        self._state = self.world_model.initial_state(context)
        self._age = torch.zeros(self.num_envs, dtype=torch.int64, device=context.obs.device)
        return EnvReset(context.obs[:, -1], _history(context))

    @torch.no_grad()
    def step(self, action: Tensor) -> EnvStep:
        """Predict what follows ``action``, (B,) int64 or (B, D) float32, and restart the dreams that end."""
        self._state, prediction = self.world_model.step(self._state, action, self.generator)
        self._age = self._age + 1  # not in place, because a checkpoint may hold the old tensor
        truncated = self._age >= self.horizon
        index = (prediction.terminated | truncated).nonzero()[:, 0]  # (K,)
        obs, final_obs, history = prediction.obs, prediction.obs[index], None
        if len(index):
            context = self.contexts(len(index))
            fresh = self.world_model.initial_state(context)
            self._state = {name: old.index_copy(0, index, fresh[name]) for name, old in self._state.items()}
            self._age = self._age.index_fill(0, index, 0)
            obs = obs.index_copy(0, index, context.obs[:, -1])
            history = _history(context)
        return EnvStep(
            obs=obs,
            reward=prediction.reward,
            terminated=prediction.terminated,
            truncated=truncated,
            final_obs=final_obs,
            history=history,
        )

    def close(self) -> None:
        """Do nothing: dreams hold no resources."""

    def state_dict(self) -> dict[str, Any]:
        """The states and ages of all dreams, for a checkpoint."""
        return {"state": self._state, "age": self._age}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue the dreams of a checkpoint."""
        self._state, self._age = dict(state["state"]), state["age"]


def _history(context: Batch) -> History:
    return History(context.obs[:, :-1], context.mask[:, :-1])
