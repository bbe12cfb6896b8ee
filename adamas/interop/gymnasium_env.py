"""Gymnasium environments around the vectorised ones of this package: frames with channels last, and NumPy arrays."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from torch import Tensor

from adamas.core import protocols
from adamas.envs.spaces import from_space, space_of

Frames = NDArray[np.uint8]


class PixelVectorEnv(VectorEnv[Frames, Any, NDArray[Any]]):
    """B environments with frames (B, H, W, C) uint8 that restart in the step in which they end (``SAME_STEP``)."""

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012  (declared by Gymnasium)

    def __init__(self, envs: protocols.VectorEnv, device: torch.device) -> None:
        """Wrap ``envs``, which takes actions on ``device``."""
        self._envs, self._device = envs, device
        self._started = False
        channels, height, width = envs.obs_shape
        self.num_envs = envs.num_envs
        self.single_observation_space = Box(0, 255, (height, width, channels), np.uint8)
        self.single_action_space = space_of(envs.action_spec)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    @abstractmethod
    def _seed(self, seed: int | None) -> None:
        """Prepare the random numbers of the next episodes; None continues the present ones."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Frames, dict[str, Any]]:
        """Start new episodes in all environments.

        Args:
            seed: determines everything random until the next seed. None continues the present random numbers.
            options: ignored; there are none.

        Returns:
            (B, H, W, C) uint8, and no information.
        """
        super().reset(seed=seed)
        self._seed(seed)
        obs = channels_last(self._envs.reset().shown)
        self._started = True
        return obs, {}

    def step(self, actions: Any) -> tuple[Frames, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Take one action in each environment.

        Args:
            actions: (B,) int, or as ``action_space`` has them if an action is not a single choice.

        Returns:
            The frames to act on next, (B, H, W, C) uint8; rewards, (B,) float32; terminated, (B,) bool; truncated,
            (B,) bool; and, for environments that have ended, ``final_obs`` and ``final_info`` in Gymnasium's layout.

        Raises:
            ResetNeeded: the environments were never reset.
            ValueError: actions of the wrong shape or out of range.
        """
        if not self._started:
            raise ResetNeeded("reset the environments before the first step")
        spec = self._envs.action_spec
        entries = from_space(spec, actions)
        # Not action_space.contains, which is strict about types and refuses a list.
        wrong_kind = spec.is_discrete and entries.dtype.kind not in "iu"
        if wrong_kind or entries.shape != (self.num_envs, *spec.shape) or spec.problem(entries):
            raise ValueError(f"expected {self.num_envs} actions in {self.single_action_space}, got {actions}")
        step = self._envs.step(torch.as_tensor(entries, dtype=spec.dtype, device=self._device))
        info: dict[str, Any] = {}
        ended = np.flatnonzero(step.ended.cpu().numpy()).tolist()
        for i, frame in zip(ended, channels_last(step.final_shown), strict=True):
            info = self._add_info(info, {"final_obs": frame, "final_info": {}}, i)
        reward, terminated, truncated = (
            x.cpu().numpy() for x in (step.reward, step.terminated, step.truncated)
        )
        return channels_last(step.shown), reward, terminated, truncated, info

    def close_extras(self, **kwargs: Any) -> None:
        """Close the environments."""
        self._envs.close()


class PixelEnv(gymnasium.Env[Frames, Any]):
    """One environment; after the end of an episode it waits for :meth:`reset`.

    With ``render_mode`` "rgb_array", :meth:`render` returns the newest frame.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012

    def __init__(self, envs: PixelVectorEnv, render_mode: str | None = None) -> None:
        """Wrap ``envs``, which must hold a single environment."""
        self._envs = envs
        self._frame: Frames | None = None
        self._over = True
        self.observation_space = envs.single_observation_space
        self.action_space = envs.single_action_space
        self.render_mode = render_mode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Frames, dict[str, Any]]:
        """Start a new episode; arguments as in :meth:`PixelVectorEnv.reset`. Returns (H, W, C) uint8."""
        super().reset(seed=seed)
        obs, info = self._envs.reset(seed=seed)
        self._frame, self._over = obs[0], False
        return self._frame, info

    def step(self, action: Any) -> tuple[Frames, float, bool, bool, dict[str, Any]]:
        """Take an action; the values are those of :meth:`PixelVectorEnv.step` for one environment.

        Raises:
            ResetNeeded: before the first reset, and after the end of an episode.
            ValueError: there is no such action.
        """
        if self._over:
            raise ResetNeeded("the episode is over, or has not begun; reset it before the next step")
        batch = {part: [value] for part, value in action.items()} if isinstance(action, Mapping) else [action]
        obs, reward, terminated, truncated, info = self._envs.step(batch)
        self._over = bool(terminated[0] or truncated[0])
        self._frame = info["final_obs"][0] if self._over else obs[0]
        return self._frame, float(reward[0]), bool(terminated[0]), bool(truncated[0]), {}

    def render(self) -> Frames | None:
        """The newest frame, (H, W, C) uint8, if ``render_mode`` is "rgb_array".

        Raises:
            ResetNeeded: before the first reset.
        """
        if self.render_mode is None:
            return None
        if self._frame is None:
            raise ResetNeeded("reset the environment before you render it")
        return self._frame.copy()

    def close(self) -> None:
        """Close the environment."""
        self._envs.close()


def channels_last(obs: Tensor) -> Frames:
    """Convert (B, C, H, W) to (B, H, W, C), in CPU memory."""
    return np.ascontiguousarray(obs.permute(0, 2, 3, 1).cpu().numpy())
