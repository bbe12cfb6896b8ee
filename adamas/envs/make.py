"""Factory of real environments: from a configuration to running environments of any suite."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from adamas.core.checks import check_range
from adamas.envs.atari import AtariEnvs
from adamas.envs.config import AtariConfig, EnvConfig, GymnasiumConfig, MinAtarConfig, VizdoomConfig
from adamas.envs.gymnasium_pixels import GymnasiumEnvs
from adamas.envs.minatar import MinAtarEnvs
from adamas.envs.vector import RealVectorEnv
from adamas.envs.vizdoom import VizdoomEnvs

_SUITES: Mapping[type, Callable[[Any, int, int], RealVectorEnv]] = {
    AtariConfig: AtariEnvs,
    MinAtarConfig: MinAtarEnvs,
    VizdoomConfig: VizdoomEnvs,
    GymnasiumConfig: GymnasiumEnvs,
}


def make_env(config: EnvConfig, num_envs: int, seed: int, training: bool) -> RealVectorEnv:
    """Make ``num_envs`` copies of a game. Call ``reset()`` before the first step.

    Args:
        config: the game and its options.
        num_envs: number B of copies.
        seed: determines everything random in the environments.
        training: whether a lost life ends an episode (an Atari game's ``life_loss_ends``). In evaluation it does not.

    Raises:
        UserError: if the game is unknown or not installed, or if its pixels or actions are not supported.
    """
    check_range("num_envs", num_envs, least=1)
    if isinstance(config, AtariConfig) and not training:
        config = replace(config, life_loss_ends=False)
    return _SUITES[type(config)](config, num_envs, seed)
