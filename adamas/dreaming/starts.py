"""Real frames from which dreams start: read from a dataset, or played in a game for this purpose."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from adamas.agent import Agent, check_dataset_fits
from adamas.core import runtime
from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.core.types import Batch, single_context
from adamas.data import EpisodeStore
from adamas.data.locations import Place
from adamas.data.windows import draw_uniformly
from adamas.envs.vector import RealVectorEnv
from adamas.rl.action_distribution import sample_action
from adamas.rl.rollout import OnHost

WARM_UP = 60  # most game steps between the starts of two dreams


class Starts(Protocol):
    """A source of contexts, from which dreams start."""

    def draw(self, k: int, rng: np.random.Generator) -> Batch:
        """Draw K contexts of L real frames, in CPU memory."""
        ...


class RecordedStarts:
    """Contexts from a dataset, drawn uniformly from all L consecutive frames that another frame follows.

    Attributes:
        store: the dataset.
    """

    def __init__(self, store: EpisodeStore, agent: Agent) -> None:
        """Find all places in the dataset where a dream of the agent can start.

        Raises:
            UserError: the dataset's frames differ from the agent's, or no episode is long enough.
        """
        check_dataset_fits(store, agent.config.obs_shape, "the agent")
        self.store = store
        self._length = agent.world_model.context_length
        self._action_spec = agent.action_spec
        self._places = start_places(store, self._length)

    def draw(self, k: int, rng: np.random.Generator) -> Batch:
        """Draw K contexts of L real frames.

        Raises:
            UserError: a context holds an action that the agent does not have.
        """
        episode, start = draw_uniformly(self._places, k, rng)
        context = self.store.read(episode, start, self._length)
        return with_actions_of(self._action_spec, context, str(self.store.folder))


class PlayedStarts:
    """Contexts from a real game: the agent plays, and its last L frames become a context now and then.

    Attributes:
        env: the game, a single environment.
        policy: the agent's policy, which takes and returns tensors in CPU memory.
    """

    def __init__(self, env: RealVectorEnv, agent: Agent) -> None:
        """Start the first episode in ``env``. Raises UserError if the agent has no policy."""
        self.env = env
        self.policy = OnHost(agent.player, runtime.device_of(agent))
        self._trail = Trail(agent.world_model.context_length, env.action_spec)
        self.restart()

    def restart(self) -> None:
        """Start a new episode."""
        self._obs, self._state = self.env.reset().obs[0], self.policy.initial_state(1)
        self._trail.begin(self._obs)

    def draw(self, k: int, rng: np.random.Generator) -> Batch:
        """Play on and collect K contexts of L real frames, padded in front where an episode is shorter than that."""
        contexts = []
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        for _ in range(k):
            for _ in range(int(rng.integers(1, WARM_UP + 1))):
                self._step(generator)
            contexts.append(self._trail.context())
        return Batch.concatenate(contexts)

    @torch.no_grad()
    def _step(self, generator: torch.Generator) -> None:
        logits, _, self._state = self.policy(self._obs[None], self._state)
        action = sample_action(self.env.action_spec, logits, generator)
        self._state = self.policy.remember(self._state, action)
        step = self.env.step(action)
        self._obs = step.obs[0]
        if step.ended[0]:
            self._state = self.policy.initial_state(1)
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
        """Forget the last episode and begin with the first frame of the next, (C, H, W) uint8."""
        self._obs.clear()
        self._action.clear()
        self._obs.append(obs)

    def add(self, action: Tensor, obs: Tensor) -> None:
        """Add an action, () int64 or (D,) float32, and the frame that followed it, (C, H, W) uint8."""
        self._action.append(action)
        self._obs.append(obs)

    def context(self) -> Batch:
        """One context (B = 1) of L frames, padded in front where the episode is shorter than that."""
        spec = self._action_spec
        actions = [torch.zeros(0, *spec.shape, dtype=spec.dtype), *(action[None] for action in self._action)]
        return single_context(torch.stack(list(self._obs)), torch.cat(actions), self._obs.maxlen or 0)


def start_places(store: EpisodeStore, length: int) -> np.ndarray:
    """Count the places in each episode where a dream can start: ``length`` frames that another frame follows.

    Returns:
        (E,) int64, of which at least one is above 0.

    Raises:
        UserError: no episode is long enough.
    """
    places = np.maximum(store.lengths - length, 0)
    if not places.any():
        raise UserError(
            f"{store.folder} has no episode of more than {length} frames, and a dream starts from {length} frames; "
            "record longer episodes"
        )
    return places


def first_with_starts(folders: Iterable[Place], agent: Agent) -> EpisodeStore | None:
    """Open the first of several datasets in which a dream of the agent can start; None if there is none."""
    length = agent.world_model.context_length
    stores = (EpisodeStore.open(folder) for folder in folders)
    return next((store for store in stores if (store.lengths > length).any()), None)


def with_actions_of(spec: ActionSpec, batch: Batch, source: str) -> Batch:
    """Give a batch of real frames to an agent: check its actions, or hide them from an agent that knows none.

    An agent that learnt without actions has a single action, which replaces every recorded one.

    Args:
        spec: the agent's actions.
        batch: B segments of a dataset.
        source: name of the dataset, for error messages.

    Raises:
        UserError: the batch holds an action that the agent does not have.
    """
    if spec.kind == ActionSpec.nothing().kind:
        return replace(batch, action=torch.zeros_like(batch.mask[:, :-1], dtype=torch.int64))
    if problem := spec.problem(batch.action.numpy(), batch_dims=2):
        raise UserError(
            f"{source} holds actions that the agent does not have ({problem}); choose a dataset of the environment "
            "it was trained on"
        )
    return batch
