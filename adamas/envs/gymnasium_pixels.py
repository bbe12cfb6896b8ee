"""Any registered Gymnasium environment, seen through its pixels."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Space
from torch.nn import functional

from adamas.core.errors import UserError, nearest
from adamas.envs.config import EnvConfig
from adamas.envs.spaces import action_spec, to_space
from adamas.envs.vector import Flags, Frames, Integers, RawStep, RealVectorEnv


class GymnasiumEnvs(RealVectorEnv):
    """B copies of a Gymnasium environment, stepped one after the other.

    Frames are the observations if those are RGB images, otherwise what ``render()`` draws. Resuming relies on
    ``env.reset(seed=...)`` making the episode repeatable, as Gymnasium demands of an environment.
    """

    def __init__(self, config: EnvConfig, num_envs: int, seed: int) -> None:
        """Make the environments. Raises UserError: unknown id or package, no pixels, actions of an unknown kind."""
        self._envs = [_make(config) for _ in range(num_envs)]
        self._space = self._envs[0].action_space
        super().__init__(num_envs, seed, action_spec(self._space), (3, config.size, config.size))

    def _reset_envs(self, mask: Flags, seeds: Integers) -> Frames:
        envs = [self._envs[i] for i in np.flatnonzero(mask)]
        starts = [env.reset(seed=seed)[0] for env, seed in zip(envs, seeds.tolist(), strict=True)]
        frames = [_frame(env, obs) for env, obs in zip(envs, starts, strict=True)]
        return shrink(np.stack(frames), self.obs_shape[1])

    def _step_envs(self, action: Integers, active: Flags) -> RawStep:
        obs = np.zeros((self.num_envs, *self.obs_shape), dtype=np.uint8)
        reward = np.zeros(self.num_envs, dtype=np.float32)
        terminated, truncated = np.zeros((2, self.num_envs), dtype=np.bool_)
        frames = []
        for i in np.flatnonzero(active):
            env = self._envs[i]
            taken = to_space(self._space, self.action_spec, action[i])
            seen, reward[i], terminated[i], truncated[i], _ = env.step(taken)
            frames.append(_frame(env, seen))
        obs[active] = shrink(np.stack(frames), self.obs_shape[1])
        return RawStep(obs, reward, terminated, truncated, np.zeros_like(terminated))

    def close(self) -> None:
        """Close every environment."""
        for env in self._envs:
            env.close()


def shrink(frames: Frames, size: int) -> Frames:
    """(K, H, W, 3) to (K, 3, size, size): the mean over the pixels that a new pixel covers, rounded.

    Where the sizes are not multiples, a pixel that is covered in part counts in full ("area" in PyTorch).
    """
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
    shrunk = functional.interpolate(pixels, size=(size, size), mode="area")  # (K, 3, size, size)
    return np.asarray(shrunk.round().to(torch.uint8).contiguous().numpy())


def _make(config: EnvConfig) -> gymnasium.Env[Any, Any]:
    """One environment, tried out: whatever is missing shows at its first frame."""
    game = config.game
    options: dict[str, Any] = {"max_episode_steps": config.max_episode_steps, "disable_env_checker": True}
    try:
        env = gymnasium.make(game, **options)
        if not _is_rgb(env.observation_space):
            if "rgb_array" not in env.metadata["render_modes"]:
                raise UserError(f"{game} neither observes nor renders RGB pixels; choose a game that does")
            env.close()
            env = gymnasium.make(game, render_mode="rgb_array", **options)
        _frame(env, env.reset(seed=0)[0])
    except gymnasium.error.UnregisteredEnv as error:
        raise UserError(f"unknown Gymnasium id {game!r}; {nearest(game, gymnasium.registry)}") from error
    except (gymnasium.error.Error, ModuleNotFoundError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{game} cannot be made: {reason}") from error
    return env


def _is_rgb(space: Space[Any]) -> bool:
    return isinstance(space, Box) and space.dtype == np.uint8 and space.shape[2:] == (3,)


def _frame(env: gymnasium.Env[Any, Any], obs: Any) -> Frames:
    """What there is to see: (H, W, 3) uint8."""
    return np.asarray(obs if env.render_mode is None else env.render(), dtype=np.uint8)
