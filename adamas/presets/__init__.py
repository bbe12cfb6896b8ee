"""Named configurations. The docstring of each preset says what it is for and where its numbers come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from adamas.core.arguments import option_values
from adamas.core.config import with_value
from adamas.core.errors import UserError, nearest
from adamas.envs.config import EnvConfig
from adamas.presets.ablations import ABLATIONS
from adamas.presets.atari import atari100k, atari_small, debug, game_overrides
from adamas.presets.control import car_racing, cartpole
from adamas.presets.csgo import csgo
from adamas.presets.iris import iris_atari100k, iris_quickstart
from adamas.presets.minatar import quickstart, quickstart_long
from adamas.presets.recordings import driving, static, static_small, vizdoom
from adamas.training.config import Config
from adamas.training.source import on_recordings

PRESETS: Mapping[str, Callable[[], Config]] = {
    "quickstart": quickstart,
    "quickstart-long": quickstart_long,
    "atari-small": atari_small,
    "atari100k": atari100k,
    "iris-quickstart": iris_quickstart,
    "iris-atari100k": iris_atari100k,
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


BY_GAME = ("atari100k", "atari-small", "iris-atari100k")
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


OF_GAMES = ("env.", "collection.", "actor_critic.", "training.actor_critic.")
"""Beginnings of the options that only runs that play a game have."""


def preset_for(name: str, arguments: Sequence[str]) -> Config:
    """The configuration called ``name`` as the default of options on the command line.

    If the options name recordings, a preset that is made for a game becomes a run on recordings.

    Args:
        name: one of :data:`PRESETS`.
        arguments: the options.

    Raises:
        UserError: there is no such preset, or a run on recordings is given an option of a game.
    """
    config, values = preset(name), option_values(arguments)
    data = values.get("data", "None")
    if data != "None":
        config = on_recordings(config, data)
    if config.data is None:
        return config
    for key in values:
        if key.startswith(OF_GAMES):
            remedy = f"leave out `data` or `{key}`" if data != "None" else "choose a preset for games"
            raise UserError(
                f"`{key}` is for runs that play a game, and this one learns from recordings; {remedy}"
            )
    return config
