"""The one place that turns a configuration into running environments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from adamas.core.errors import UserError, nearest
from adamas.envs.atari import AtariEnvs
from adamas.envs.config import EnvConfig
from adamas.envs.gymnasium_pixels import GymnasiumEnvs
from adamas.envs.minatar import MinAtarEnvs
from adamas.envs.vector import RealVectorEnv
from adamas.envs.vizdoom import VizdoomEnvs

_SUITES: Mapping[str, Callable[[EnvConfig, int, int], RealVectorEnv]] = {
    "atari": AtariEnvs,
    "minatar": MinAtarEnvs,
    "vizdoom": VizdoomEnvs,
    "gymnasium": GymnasiumEnvs,
}


def make_env(config: EnvConfig, num_envs: int, seed: int, training: bool) -> RealVectorEnv:
    """``num_envs`` copies of the game, to be started by ``reset()``.

    Args:
        config: which game.
        num_envs: number B of copies.
        seed: everything random in the environments follows from it.
        training: a lost life is an end of the episode (if ``config.life_loss_ends``). While evaluating only
            the end of the game is.

    Raises:
        UserError: no such suite or game, a suite that is not installed, or a game that is not played with
            discrete actions from pixels.
    """
    if num_envs < 1:
        raise UserError(f"num_envs is {num_envs}; at least one environment is needed")
    if config.suite not in _SUITES:
        raise UserError(f"unknown env.suite {config.suite!r}; {nearest(config.suite, _SUITES)}")
    if not training:
        config = replace(config, life_loss_ends=False)
    return _SUITES[config.suite](config, num_envs, seed)
