"""Doom seen through the player's eyes: the scenarios of ViZDoom (Kempka et al. 2016), with free game data."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from pathlib import Path

import gymnasium

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError, nearest, require
from adamas.envs.config import EnvConfig
from adamas.envs.gymnasium_pixels import GymnasiumEnvs


class VizdoomEnvs(GymnasiumEnvs):
    """B games of a scenario: one button at a time or none, or all at once in its MultiBinary variant."""

    def __init__(self, config: EnvConfig, num_envs: int, seed: int) -> None:
        """Start the games. Raises UserError: unknown scenario, or ViZDoom is not installed."""
        config = replace(config, game=scenario_id(config.game))
        at_once = 0 if "MultiBinary" in config.game else 1  # 0: as many buttons as one likes
        # The engine would leave its settings, and an empty folder, in the working folder; and of two that make this
        # folder at the same moment, one crashes.
        options = {"max_buttons_pressed": at_once, "doom_config_path": os.devnull}
        folder = Path("_vizdoom")
        with contextlib.suppress(OSError):  # the engine will say what it cannot do
            folder.mkdir(exist_ok=True)
        super().__init__(config, num_envs, seed, frame_skip=config.frame_skip, **options)
        with contextlib.suppress(OSError):  # it is not empty, or gone already
            folder.rmdir()
        if self.action_spec.is_discrete:
            game = self._envs[0].unwrapped
            buttons = [button.name.lower() for button in game.game.get_available_buttons()]  # type: ignore[attr-defined]
            names = [
                "noop" if not pressed.any() else buttons[int(pressed.argmax())]
                for pressed in game.button_map  # type: ignore[attr-defined]
            ]
            self.action_spec = ActionSpec.discrete(names)


def scenario_id(game: str) -> str:
    """The Gymnasium id of a scenario, written in any way: my_way_home, MyWayHome -> VizdoomMyWayHome-v1.

    Raises:
        UserError: no such scenario, or ViZDoom is not installed.
    """
    try:
        from vizdoom import gymnasium_wrapper  # noqa: F401  (registers its environments)
    except ModuleNotFoundError as error:
        raise require("vizdoom", "vizdoom") from error
    ids = {
        "".join(filter(str.isalnum, name.removeprefix("Vizdoom").rpartition("-v")[0])).lower(): name
        for name in gymnasium.registry
        if name.startswith("Vizdoom")
    }
    if game in ids.values():
        return game
    scenario = ids.get("".join(filter(str.isalnum, game)).lower())
    if scenario is None:
        raise UserError(f"unknown ViZDoom scenario {game!r}; {nearest(game.lower(), ids)}")
    return scenario
