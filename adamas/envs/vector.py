"""What all real environments share: restarting within the step, and exact resume.

An episode is determined by the seed of its reset and the actions since. So each environment remembers those
two, a snapshot is a copy of them, and restoring plays them again. No suite has to expose its inner state. What that
costs grows with the longest episode, which is why no episode is endless (``MAX_STEPS``).
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
"""Steps after which an episode is cut off where neither the user nor the environment sets a limit: Atari's 108,000
frames, four to a step. So evaluations come to an end, and what is kept of an episode is bounded."""


class RawStep(NamedTuple):
    """What B environments of a suite return for one step, before anything restarts.

    Attributes:
        obs: (B, C, H, W) uint8, in memory of its own.
        reward: (B,) float32.
        terminated: (B,) bool: the game is over.
        truncated: (B,) bool: the time limit is reached.
        lost_life: (B,) bool: counts as an end, although the game goes on.
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
        action_spec: what the agent may do.
        obs_shape: (C, H, W).
    """

    def __init__(
        self, num_envs: int, seed: int, action_spec: ActionSpec, obs_shape: tuple[int, int, int]
    ) -> None:
        """Describe the environments; ``seed`` determines the seeds of all their episodes."""
        self.num_envs = num_envs
        self.action_spec = action_spec
        self._action_dtype = np.int64 if action_spec.is_discrete else np.float32
        self.obs_shape = obs_shape
        self._rng = np.random.default_rng(seed)  # draws the seed of every episode
        self._seeds: list[int] = []  # of the running episodes; empty before the first reset
        self._actions: list[list[int]] = []  # taken in the running episodes

    @abstractmethod
    def _reset_envs(self, mask: Flags, seeds: Integers) -> Frames:
        """Start episodes in the K environments of ``mask``, (B,), from ``seeds``, (K,).

        The seed alone determines the episode. The first call resets all environments.

        Returns:
            (K, C, H, W) uint8, in memory of its own.
        """

    @abstractmethod
    def _step_envs(self, action: Integers, active: Flags) -> RawStep:
        """Take one action in each environment of ``active``, (B,).

        The others will be reset before they are used, so that they may be stepped or not; what is returned
        for them is ignored.
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
        """Take one action, (B,) int64, in each environment; where the game is over, start the next one.

        After a lost life the game goes on: ``obs`` and ``final_obs`` are then the same frame.

        Raises:
            RuntimeError: before the first reset.
            ValueError: actions of the wrong shape or out of range.
        """
        if not self._seeds:
            raise RuntimeError("reset the environments before the first step")
        actions = action.cpu().numpy()
        if len(actions) != self.num_envs:
            raise ValueError(f"expected {self.num_envs} actions, got {len(actions)}")
        if problem := self.action_spec.problem(actions):
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
        """Everything that what follows depends on, in types that ``torch.load(weights_only=True)`` reads."""
        return {
            "seeds": list(self._seeds),
            "actions": [torch.tensor(taken, dtype=self.action_spec.dtype) for taken in self._actions],
            "rng": self._rng.bit_generator.state,
        }

    def restore(self, snapshot: dict[str, Any]) -> EnvReset | None:
        """Continue from ``snapshot``, taken from environments of the same configuration: bit by bit the same.

        Takes as long as the longest of the running episodes did.

        Returns:
            the frames to act in next, or None if the snapshot was taken before the first reset.

        Raises:
            UserError: the snapshot holds another number of environments.
        """
        if len(snapshot["seeds"]) not in (0, self.num_envs):
            raise UserError(
                f"the snapshot holds {len(snapshot['seeds'])} environments and cannot continue in "
                f"{self.num_envs}; set the number of environments back"
            )
        self._rng.bit_generator.state = snapshot["rng"]
        self._seeds = list(snapshot["seeds"])
        self._actions = [taken.tolist() for taken in snapshot["actions"]]
        return EnvReset(torch.from_numpy(self._replay())) if self._seeds else None

    def _everywhere(self) -> Flags:
        return np.ones(self.num_envs, dtype=np.bool_)

    def _restart(self, mask: Flags) -> Frames:
        """Start the next episodes in the K environments of ``mask``, and forget the last: (K, C, H, W)."""
        seeds = self._rng.integers(2**31, size=int(mask.sum()))  # the emulator takes 31 bits
        for i, seed in zip(np.flatnonzero(mask), seeds.tolist(), strict=True):
            self._seeds[i] = seed
            self._actions[i] = []
        return self._reset_envs(mask, seeds)

    def _replay(self) -> Frames:
        """Play the recorded episodes again so that all of them arrive at their last action together.

        Environments whose turn has not come yet are reset when it does, whatever happened in them before::

            tick       0    1    2    3    end
            long    reset a_0  a_1  a_2  a_3
            short     .    .    .  reset a_0

        Returns:
            (B, C, H, W): the frames to act in next.
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
    """Say that an episode was cut off by a limit that is neither the user's nor the environment's."""
    warnings.warn(
        f"an episode of {game} was cut off after {steps:,} steps; --env.max-episode-steps sets another limit",
        stacklevel=2,
    )
