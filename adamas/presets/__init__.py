"""Named configurations. Each says in its docstring what it is for and where its numbers come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from adamas.core.errors import UserError, nearest
from adamas.presets.ablations import ABLATIONS
from adamas.presets.atari import atari100k, atari_small, debug
from adamas.presets.control import car_racing, cartpole
from adamas.presets.minatar import quickstart, quickstart_long
from adamas.presets.recordings import csgo, driving, static, vizdoom
from adamas.training.config import Config

PRESETS: Mapping[str, Callable[[], Config]] = {
    "quickstart": quickstart,
    "quickstart-long": quickstart_long,
    "atari-small": atari_small,
    "atari100k": atari100k,
    "car-racing": car_racing,
    "cartpole": cartpole,
    "static": static,
    "vizdoom": vizdoom,
    "driving": driving,
    "csgo": csgo,
    "debug": debug,
    **ABLATIONS,
}


def preset(name: str) -> Config:
    """The configuration called ``name``.

    Raises:
        UserError: there is none; the message offers the nearest.
    """
    if name not in PRESETS:
        raise UserError(f"unknown preset {name!r}; {nearest(name, PRESETS)}")
    return PRESETS[name]()
