"""Base class of vectorised real environments: autoreset within the step, and exact resume.

The seed of its reset and the actions since then determine an episode. Each environment therefore records these two.
A snapshot is a copy of them, and restoring it replays the actions, so that no suite has to expose its internal state.
Memory and time grow with the length of an episode, so every episode has a limit (``MAX_STEPS``).
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.core.types import EnvReset, EnvStep

Frames = NDArray[np.uint8]
Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]


MAX_STEPS = 27_000
"""Time limit in steps if neither the user nor the environment sets one: Atari's 108,000 frames, at four per step.
It makes evaluations end, and bounds the recorded actions of an episode."""


class RawStep(NamedTuple):
    """The result of one step of B environments of a suite, before any of them restarts.

    Attributes:
        obs: (B, C, H, W) uint8, not shared with other steps.
        reward: (B,) float32.
        terminated: (B,) bool: the game is over.
        truncated: (B,) bool: the time limit is reached.
        lost_life: (B,) bool: a life was lost, which counts as an end although the game goes on.
    """

    obs: Frames
    reward: NDArray[np.float32]
    terminated: Flags
    truncated: Flags
    lost_life: Flags


class RealVectorEnv(ABC):
    """B copies of a real environment; a :class:`~adamas.core.protocols.VectorEnv` that can be resumed.

    Attributes:
        num_envs: B.
        action_spec: the action space.
        obs_shape: (C, H, W) of a frame.
    """

    def __init__(
        self, num_envs: int, seed: int, action_spec: ActionSpec, obs_shape: tuple[int, int, int]
    ) -> None:
        """Set what all suites have in common. ``seed`` determines the seeds of all episodes."""
        self.num_envs = num_envs
        self.action_spec = action_spec
        self._action_dtype = np.int64 if action_spec.is_discrete else np.float32
        self.obs_shape = obs_shape
        self._rng = np.random.default_rng(seed)  # draws the seed of every episode
        self._seeds: list[int] = []  # of the running episodes; empty before the first reset
        self._actions: list[list[Any]] = []  # of the running episodes

    @abstractmethod
    def _reset_envs(self, mask: Flags, seeds: Integers) -> Frames:
        """Start episodes in the K environments of ``mask``, (B,), with ``seeds``, (K,).

        The seed alone must determine the episode. The first call resets all environments.

        Returns:
            The first frames, (K, C, H, W) uint8, not shared with later calls.
        """

    @abstractmethod
    def _step_envs(self, action: Integers, active: Flags) -> RawStep:
        """Take one action in each environment of ``active``, (B,).

        Implementations may step the others or not. Their results are ignored, and they are reset before they are used.
        """

    @abstractmethod
    def close(self) -> None:
        """Release what the environments hold."""

    def reset(self) -> EnvReset:
        """Start a new episode in every environment, each from a fresh seed."""
        self._seeds = [0] * self.num_envs
        self._actions = [[] for _ in range(self.num_envs)]
        return EnvReset(torch.from_numpy(self._restart(self._everywhere())))

    def step(self, action: Tensor) -> EnvStep:
        """Take one action in each environment, and restart those whose game is over.

        After a lost life the game goes on: ``obs`` and ``final_obs`` are then the same frame.

        Args:
            action: (B,) int64, or (B, D) float32 where actions are vectors.

        Raises:
            RuntimeError: if the environments have not been reset.
            ValueError: if actions have the wrong shape or are out of range.
        """
        if not self._seeds:
            raise RuntimeError("reset the environments before the first step")
        actions = action.cpu().numpy()
        if len(actions) != self.num_envs:
            raise ValueError(f"expected {self.num_envs} actions, got {len(actions)}")
        if problem := self.action_spec.problem(actions, batch_dims=1):
            raise ValueError(problem)
        raw = self._step_envs(actions, self._everywhere())
        for taken, new in zip(self._actions, actions.tolist(), strict=True):
            taken.append(new)

        terminated = raw.terminated | raw.lost_life
        final_obs = raw.obs[terminated | raw.truncated]  # a copy
        game_over = raw.terminated | raw.truncated
        if game_over.any():
            raw.obs[game_over] = self._restart(game_over)
        return EnvStep(
            obs=torch.from_numpy(raw.obs),
            reward=torch.from_numpy(raw.reward),
            terminated=torch.from_numpy(terminated),
            truncated=torch.from_numpy(raw.truncated),
            final_obs=torch.from_numpy(final_obs),
        )

    def snapshot(self) -> dict[str, Any]:
        """Return the complete state, in types that ``torch.load(weights_only=True)`` can read."""
        return {
            "seeds": list(self._seeds),
            "actions": [torch.tensor(taken, dtype=self.action_spec.dtype) for taken in self._actions],
            "rng": self._rng.bit_generator.state,
        }

    def restore(self, snapshot: dict[str, Any]) -> EnvReset | None:
        """Restore a snapshot of environments with the same configuration, exactly, by replaying their episodes.

        Takes as long as playing the longest of the running episodes.

        Returns:
            The frames to act in next, or None if the snapshot was taken before the first reset.

        Raises:
            UserError: if the snapshot has another number of environments.
        """
        if len(snapshot["seeds"]) not in (0, self.num_envs):
            raise UserError(
                f"the snapshot holds {len(snapshot['seeds'])} environments and cannot continue in "
                f"{self.num_envs}; use the same number of environments as before"
            )
        self._rng.bit_generator.state = snapshot["rng"]
        self._seeds = list(snapshot["seeds"])
        self._actions = [taken.tolist() for taken in snapshot["actions"]]
        return EnvReset(torch.from_numpy(self._replay())) if self._seeds else None

    def _everywhere(self) -> Flags:
        return np.ones(self.num_envs, dtype=np.bool_)

    def _restart(self, mask: Flags) -> Frames:
        """Start the next episodes in the K environments of ``mask``: first frames, (K, C, H, W)."""
        seeds = self._rng.integers(2**31, size=int(mask.sum()))  # the emulator takes 31 bits
        for i, seed in zip(np.flatnonzero(mask), seeds.tolist(), strict=True):
            self._seeds[i] = seed
            self._actions[i] = []
        return self._reset_envs(mask, seeds)

    def _replay(self) -> Frames:
        """Replay the recorded episodes such that all of them reach their last action at the same tick.

        Shorter episodes start later. Their environments are reset at that tick, so earlier steps have no effect::

            tick       0    1    2    3    end
            long    reset a_0  a_1  a_2  a_3
            short     .    .    .  reset a_0

        Returns:
            The frames to act in next, (B, C, H, W).
        """
        seeds = np.array(self._seeds, dtype=np.int64)
        lengths = np.array([len(taken) for taken in self._actions])
        start = lengths.max() - lengths
        script = np.zeros((lengths.max(), self.num_envs, *self.action_spec.shape), self._action_dtype)
        for i, taken in enumerate(self._actions):
            script[start[i] :, i] = taken

        obs = self._reset_envs(self._everywhere(), seeds)
        for tick, action in enumerate(script):
            obs = self._step_envs(action, start <= tick).obs
            starting = start == tick + 1
            if starting.any():
                obs[starting] = self._reset_envs(starting, seeds[starting])
        return obs


def say_cut_off(game: str, steps: int) -> None:
    """Warn that an episode was truncated by :data:`MAX_STEPS`."""
    warnings.warn(
        f"an episode of {game} was cut off after {steps:,} steps; env.max_episode_steps sets another limit",
        stacklevel=2,
    )
