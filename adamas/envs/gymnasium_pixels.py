"""Adapter that makes a vectorised pixel environment of any registered Gymnasium environment."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium.wrappers import TimeLimit

from adamas.core.errors import UserError, nearest
from adamas.core.pixels import shrink
from adamas.envs.config import RenderedConfig
from adamas.envs.foreign import reporting_errors_of, start_episode, take_step
from adamas.envs.frames import Image, can_render, observed_image, other_image, to_rgb
from adamas.envs.spaces import action_spec, to_space
from adamas.envs.trust import check_trusted
from adamas.envs.vector import MAX_STEPS, Flags, Frames, Integers, RawStep, RealVectorEnv, say_cut_off

Env = gymnasium.Env[Any, Any]

RESERVED = ("render_mode", "max_episode_steps", "disable_env_checker")
"""Keyword arguments of ``gymnasium.make`` that the user cannot set."""


class GymnasiumEnvs(RealVectorEnv):
    """B copies of a Gymnasium environment, stepped one after the other.

    ``config.frames`` says where frames come from. Resuming needs episodes that are reproducible after
    ``env.reset(seed=...)``, as Gymnasium demands.
    """

    def __init__(
        self, config: RenderedConfig, num_envs: int, seed: int, game_id: str | None = None, **options: Any
    ) -> None:
        """Make the environments.

        Args:
            config: the game and its options.
            num_envs: number B of copies.
            seed: determines the seeds of all episodes.
            game_id: the Gymnasium id, if it is not ``config.game``.
            options: more keyword arguments for the environments.

        Raises:
            UserError: if the game could run code and is not trusted, the id or a package is unknown, there are no
                pixels, the action space is not supported, or the environment raises or returns something invalid.
        """
        check_trusted(config)
        self._game = config.game
        if taken := set(config.arguments) & {*options, *RESERVED}:
            raise UserError(
                f"`env.kwargs` cannot set {', '.join(sorted(taken))}, which Adamas sets itself; leave it out"
            )
        options |= config.arguments
        options |= {"max_episode_steps": config.max_episode_steps, "disable_env_checker": True}
        make = partial(_make, game_id or config.game, config.game, options)
        first, self._image = _with_frames(make, config)
        self._envs = [first, *(make(first.render_mode) for _ in range(num_envs - 1))]
        self._has_limit = _has_limit(first)
        if not self._has_limit:
            self._envs = [TimeLimit(env, MAX_STEPS) for env in self._envs]
        self._steps = np.zeros(num_envs, dtype=np.int64)  # of the running episodes
        self._space = first.action_space
        super().__init__(num_envs, seed, action_spec(self._space), config.obs_shape)
        for env in self._envs:  # missing packages and settings show at the first frame
            self._frame(env, start_episode(env, 0, self._game))

    def _reset_envs(self, mask: Flags, seeds: Integers) -> Frames:
        envs = [self._envs[i] for i in np.flatnonzero(mask)]
        starts = [
            start_episode(env, seed, self._game) for env, seed in zip(envs, seeds.tolist(), strict=True)
        ]
        self._steps[mask] = 0
        return self._shrunk([self._frame(env, obs) for env, obs in zip(envs, starts, strict=True)])

    def _step_envs(self, action: Integers, active: Flags) -> RawStep:
        obs = np.zeros((self.num_envs, *self.obs_shape), dtype=np.uint8)
        reward = np.zeros(self.num_envs, dtype=np.float32)
        terminated, truncated = np.zeros((2, self.num_envs), dtype=np.bool_)
        frames = []
        self._steps += active
        for i in np.flatnonzero(active):
            env = self._envs[i]
            taken = to_space(self._space, self.action_spec, action[i])
            answer = take_step(env, taken, self._game, int(self._steps[i]))
            seen, reward[i], terminated[i], truncated[i] = answer
            frames.append(self._frame(env, seen))
        if not self._has_limit and (truncated & (self._steps >= MAX_STEPS)).any():
            say_cut_off(self._game, MAX_STEPS)
        obs[active] = self._shrunk(frames)
        return RawStep(obs, reward, terminated, truncated, np.zeros_like(terminated))

    def _frame(self, env: Env, obs: Any) -> Frames:
        """The current frame of an environment: (H, W, 3) uint8."""
        if self._image is not None:
            with reporting_errors_of(self._game, "the observation"):
                return self._image.rgb(obs, f"the observation of {self._game}")
        with reporting_errors_of(self._game, "render()"):
            return to_rgb(env.render(), f"render() of {self._game}")

    def _shrunk(self, frames: list[Frames]) -> Frames:
        """Downscale frames of any sizes to (K, 3, H, W)."""
        height, width = self.obs_shape[1:]
        if len({frame.shape for frame in frames}) == 1:
            return shrink(np.stack(frames), height, width)
        return np.concatenate([shrink(frame[None], height, width) for frame in frames])

    def close(self) -> None:
        """Close every environment."""
        for env in self._envs:
            with reporting_errors_of(self._game, "close()"):
                env.close()


def _with_frames(make: Callable[[str | None], Env], config: RenderedConfig) -> tuple[Env, Image | None]:
    """Make an environment, and choose the image in its observations that gives the frames; None for ``render()``."""
    env = make(None)

    def first() -> Any:
        return start_episode(env, 0, config.game)

    image = observed_image(env, config)
    if image is not None:
        asked_for = config.frames == "observation" or config.frames_key is not None
        if env.render_mode == "rgb_array" and not asked_for:
            return env, None  # it renders RGB by default
        if asked_for or can_render(env) is False or not image.seems_symbolic(first):
            return env, image
    drawing = _drawing(make, env, config)
    if drawing is None:
        return env, image or other_image(env, config, first)
    env.close()
    if image is not None:
        height, width, _ = image.space.shape
        warnings.warn(
            f"observations of {config.game} ({height}x{width}) seem to be symbols, so its frames are what it renders; "
            "set env.frames to observation to take the observations",
            stacklevel=2,
        )
    return drawing, None


def _drawing(make: Callable[[str | None], Env], env: Env, config: RenderedConfig) -> Env | None:
    """Make the environment with RGB rendering; None if it cannot render.

    Raises:
        UserError: if the configuration asks for rendering and it cannot render, or if it claims to render and fails.
    """
    draws = can_render(env)
    if config.frames == "render" and draws is False:
        raise UserError(
            f"`env.frames` is render, but {config.game} does not render RGB pixels; choose another value"
        )
    if draws or config.frames == "render":
        return make("rgb_array")
    if draws is None:  # unknown: try
        with suppress(UserError):
            drawing = make("rgb_array")
            start_episode(drawing, 0, config.game)
            with reporting_errors_of(config.game, "render()"):
                to_rgb(drawing.render(), "render()")
            return drawing
    return None


def _make(game_id: str, game: str, options: dict[str, Any], render_mode: str | None) -> Env:
    """Make one environment; ``game`` is its name in error messages."""
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        os.environ.setdefault("MUJOCO_GL", "egl")  # so that MuJoCo draws without a screen
    if render_mode is not None:
        options = {**options, "render_mode": render_mode}
    with reporting_errors_of(game, "gymnasium.make()"):
        try:
            return gymnasium.make(game_id, **options)
        except gymnasium.error.UnregisteredEnv as error:
            raise UserError(f"unknown Gymnasium id {game!r}; {nearest(game, gymnasium.registry)}") from error
        except gymnasium.error.DependencyNotInstalled:
            raise
        except (gymnasium.error.Error, TypeError) as error:  # such as an unknown keyword argument
            raise UserError(f"{game} cannot be made: {' '.join(str(error).split())}") from error


def _has_limit(env: Env) -> bool:
    """Whether the environment has a time limit."""
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, TimeLimit):
            return True
        env = env.env
    return False
