"""Any registered Gymnasium environment, seen through its pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Space

from adamas.core.errors import UserError, nearest, require
from adamas.core.pixels import shrink
from adamas.envs.config import EnvConfig
from adamas.envs.spaces import action_spec, to_space
from adamas.envs.vector import Flags, Frames, Integers, RawStep, RealVectorEnv

EXTRAS = {"box2d": "box2d", "shimmy": "dm-control"}
"""What brings a missing package, by a word of Gymnasium's complaint."""


class GymnasiumEnvs(RealVectorEnv):
    """B copies of a Gymnasium environment, stepped one after the other.

    Frames are the observations if those are RGB images or hold one, else what ``render()`` draws. Resuming relies on
    ``env.reset(seed=...)`` making the episode repeatable, as Gymnasium demands of an environment.
    """

    def __init__(self, config: EnvConfig, num_envs: int, seed: int, **options: Any) -> None:
        """Make the environments, which get ``options`` as well.

        Raises:
            UserError: unknown id or package, no pixels, actions of an unknown kind.
        """
        self._envs = [_make(config, options) for _ in range(num_envs)]
        self._space = self._envs[0].action_space
        super().__init__(num_envs, seed, action_spec(self._space), config.obs_shape)

    def _reset_envs(self, mask: Flags, seeds: Integers) -> Frames:
        envs = [self._envs[i] for i in np.flatnonzero(mask)]
        starts = [env.reset(seed=seed)[0] for env, seed in zip(envs, seeds.tolist(), strict=True)]
        frames = [_frame(env, obs) for env, obs in zip(envs, starts, strict=True)]
        return shrink(np.stack(frames), *self.obs_shape[1:])

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
        obs[active] = shrink(np.stack(frames), *self.obs_shape[1:])
        return RawStep(obs, reward, terminated, truncated, np.zeros_like(terminated))

    def close(self) -> None:
        """Close every environment."""
        for env in self._envs:
            env.close()


def _make(config: EnvConfig, options: Mapping[str, Any]) -> gymnasium.Env[Any, Any]:
    """One environment, tried out: whatever is missing shows at its first frame."""
    game = config.game
    options = {**options, "max_episode_steps": config.max_episode_steps, "disable_env_checker": True}
    try:
        env = gymnasium.make(game, **options)
        if _image(env.observation_space) is None:
            if "rgb_array" not in env.metadata["render_modes"]:
                raise UserError(f"{game} neither observes nor renders RGB pixels; choose a game that does")
            env.close()
            env = gymnasium.make(game, render_mode="rgb_array", **options)
        _frame(env, env.reset(seed=0)[0])
    except gymnasium.error.UnregisteredEnv as error:
        raise UserError(f"unknown Gymnasium id {game!r}; {nearest(game, gymnasium.registry)}") from error
    except (gymnasium.error.Error, ModuleNotFoundError) as error:
        reason = " ".join(str(error).split())
        for word, extra in EXTRAS.items():
            if word in reason.lower():
                raise require(f"{word}, which {game} needs,", extra) from error
        raise UserError(f"{game} cannot be made: {reason}") from error
    return env


def _image(space: Space[Any]) -> Callable[[Any], Any] | None:
    """How an observation's RGB image is had: it is one, or it is a dictionary with one. None: there is no image."""
    if isinstance(space, Dict):
        images = [name for name, part in space.spaces.items() if _image(part)]
        return itemgetter(images[0]) if len(images) == 1 else None
    is_rgb = isinstance(space, Box) and space.dtype == np.uint8 and space.shape[2:] == (3,)
    return (lambda obs: obs) if is_rgb else None


def _frame(env: gymnasium.Env[Any, Any], obs: Any) -> Frames:
    """What there is to see: (H, W, 3) uint8."""
    image = _image(env.observation_space) if env.render_mode is None else None
    return np.asarray(image(obs) if image else env.render(), dtype=np.uint8)
