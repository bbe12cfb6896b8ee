"""Named configurations. The docstring of each preset says what it is for and where its numbers come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from adamas.core.config import with_value
from adamas.core.errors import UserError, nearest
from adamas.envs.config import EnvConfig
from adamas.presets.ablations import ABLATIONS
from adamas.presets.atari import atari100k, atari_small, debug, game_overrides
from adamas.presets.control import car_racing, cartpole
from adamas.presets.minatar import quickstart, quickstart_long
from adamas.presets.recordings import csgo, driving, static, static_small, vizdoom
from adamas.training.config import Config

PRESETS: Mapping[str, Callable[[], Config]] = {
    "quickstart": quickstart,
    "quickstart-long": quickstart_long,
    "atari-small": atari_small,
    "atari100k": atari100k,
    "car-racing": car_racing,
    "cartpole": cartpole,
    "static": static,
    "static-small": static_small,
    "vizdoom": vizdoom,
    "driving": driving,
    "csgo": csgo,
    "debug": debug,
    **ABLATIONS,
}


BY_GAME = ("atari100k", "atari-small")
"""Presets that apply :data:`~adamas.presets.atari.GAME_OVERRIDES`."""


def preset(name: str, env: EnvConfig | None = None) -> Config:
    """The configuration called ``name``.

    Args:
        name: one of :data:`PRESETS`.
        env: the game that will be played. If given, the configuration has the settings that this game needs, but its
            own ``env`` remains that of the preset.

    Raises:
        UserError: there is no such preset; the message suggests the nearest name.
    """
    if name not in PRESETS:
        raise UserError(f"unknown preset {name!r}; {nearest(name, PRESETS)}")
    config = PRESETS[name]()
    if env is not None and name in BY_GAME:
        for key, value in game_overrides(env).items():
            config = with_value(config, key, value)
    return config
