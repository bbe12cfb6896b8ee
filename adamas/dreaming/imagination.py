"""Dreams as an environment: a world model, real frames from which dreams start, and a horizon."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Generator, Tensor

from adamas.core.actions import ActionSpec
from adamas.core.types import Batch, EnvReset, EnvStep, History
from adamas.world_models.base import WorldModel

Contexts = Callable[[int], Batch]
"""``K -> batch of K segments of L real frames`` from which dreams start."""


class Imagination:
    """``num_envs`` dreams, stepped together: a :class:`~adamas.core.protocols.VectorEnv`.

    A dream starts from L real frames. It is terminated when the world model predicts the end, and truncated after
    ``horizon`` steps. A dream that ends restarts within the same step, from new real frames, while the others go on;
    dreams of some world models go on after a termination as well. Observations are what policies see of dreams.
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
        for_people: bool = False,
    ) -> None:
        """Prepare dreams.

        Args:
            world_model: the world model.
            contexts: the source of real frames.
            num_envs: number B of dreams.
            horizon: steps after which a dream is truncated.
            obs_shape: (C, H, W) of a frame.
            action_spec: what can be done.
            generator: source of the dreams' randomness, on the world model's device.
            for_people: whether to show frames as well, and to restart every dream at an end that is drawn. Policies
                may learn otherwise: see :class:`~adamas.world_models.base.Imagined`.
        """
        self.world_model = world_model
        self.contexts = contexts
        self.num_envs = num_envs
        self.horizon = horizon
        self.obs_shape = obs_shape
        self.action_spec = action_spec
        self.generator = generator
        self.for_people = for_people

    def reset(self) -> EnvReset:
        """Start all dreams from new contexts."""
        context = self.contexts(self.num_envs)
        self._state, seen = self.world_model.start(context)
        self._age = torch.zeros(self.num_envs, dtype=torch.int64, device=context.obs.device)
        return EnvReset(seen[:, -1], _history(context, seen), context.obs[:, -1] if self.for_people else None)

    @torch.no_grad()
    def step(self, action: Tensor) -> EnvStep:
        """Predict what follows ``action``, (B,) int64 or (B, D) float32, and restart the dreams that end."""
        self._state, imagined = self.world_model.imagine(self._state, action, self.generator)
        self._age = self._age + 1  # not in place, because a checkpoint may hold the old tensor
        chances = None if self.for_people else imagined.end_probability
        goes_on = not self.for_people and (chances is not None or not self.world_model.restarts_at_end)
        truncated = self._age >= self.horizon
        index = (truncated if goes_on else imagined.terminated | truncated).nonzero()[:, 0]  # (K,)
        obs, final_obs, history = imagined.features, imagined.features[index], None
        frames = self.world_model.decode(self._state) if self.for_people else None
        final_frames = None if frames is None else frames[index]
        if len(index):
            context = self.contexts(len(index))
            fresh, seen = self.world_model.start(context)
            self._state = {name: old.index_copy(0, index, fresh[name]) for name, old in self._state.items()}
            self._age = self._age.index_fill(0, index, 0)
            obs = obs.index_copy(0, index, seen[:, -1])
            frames = None if frames is None else frames.index_copy(0, index, context.obs[:, -1])
            history = _history(context, seen)
        return EnvStep(
            obs=obs,
            reward=imagined.reward,
            terminated=imagined.terminated if chances is None else chances,
            truncated=truncated,
            final_obs=final_obs,
            history=history,
            goes_on=goes_on,
            frames=frames,
            final_frames=final_frames,
        )

    def close(self) -> None:
        """Do nothing: dreams hold no resources."""

    def state_dict(self) -> dict[str, Any]:
        """The states and ages of all dreams, for a checkpoint."""
        return {"state": self._state, "age": self._age}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue the dreams of a checkpoint."""
        self._state, self._age = dict(state["state"]), state["age"]


def _history(context: Batch, seen: Tensor) -> History:
    return History(seen[:, :-1], context.mask[:, :-1], context.action)
