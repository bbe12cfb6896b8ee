"""ViZDoom (Kempka et al. 2016): scenarios of the first-person shooter Doom, with free game data."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError, nearest, not_installed
from adamas.core.names import folded
from adamas.envs.config import VizdoomConfig
from adamas.envs.gymnasium_pixels import GymnasiumEnvs
from adamas.envs.trust import check_trusted, is_doom_file


class VizdoomEnvs(GymnasiumEnvs):
    """B games of a scenario. An action presses at most one button, or any number in its MultiBinary variant.

    A game whose name ends in .cfg is a custom scenario. ``env.kwargs`` may set ``max_buttons_pressed``.
    """

    def __init__(self, config: VizdoomConfig, num_envs: int, seed: int) -> None:
        """Start the games.

        Raises:
            UserError: if the scenario is unknown, its .cfg file is missing, invalid or not trusted, or ViZDoom is not
                installed.
        """
        check_trusted(config)
        options: dict[str, Any] = {"frame_skip": config.frame_skip, "doom_config_path": os.devnull}
        if is_doom_file(config.game):
            scenario = scenario_id("basic")  # the file replaces its settings
            options["scenario_config_file"] = str(_scenario_file(config.game))
        else:
            scenario = scenario_id(config.game)
        if "max_buttons_pressed" not in config.arguments:
            options["max_buttons_pressed"] = 0 if "MultiBinary" in scenario else 1  # 0: any number
        # The engine creates an empty folder in the working directory, and crashes if another process creates it at the
        # same moment. So it is created before, and removed afterwards.
        folder = Path("_vizdoom")
        with contextlib.suppress(OSError):  # the engine reports the problem itself
            folder.mkdir(exist_ok=True)
        try:
            super().__init__(config, num_envs, seed, game_id=scenario, **options)
        finally:
            with contextlib.suppress(OSError):  # it is not empty, or already removed
                folder.rmdir()
        if self.action_spec.is_discrete:
            game = self._envs[0].unwrapped
            buttons = [button.name.lower() for button in game.game.get_available_buttons()]  # type: ignore[attr-defined]
            pressed = [np.flatnonzero(row) for row in game.button_map]  # type: ignore[attr-defined]
            names = ["+".join(buttons[i] for i in row) or "noop" for row in pressed]
            self.action_spec = ActionSpec.discrete(names)


def _scenario_file(name: str) -> Path:
    """Resolve and check the path of a ViZDoom .cfg file. Raises UserError if ViZDoom cannot read it."""
    from vizdoom import DoomGame

    path = Path(name).expanduser().resolve()
    if not path.is_file():
        raise UserError(
            f"there is no file {path}; `env.game` is a scenario of ViZDoom or the path of a .cfg file"
        )
    try:
        understood = DoomGame().load_config(str(path))
    except Exception as error:  # the engine has its own exception types
        raise UserError(f"{path} cannot be read: {error}; correct it there") from error
    if not understood:  # the engine has printed why
        raise UserError(f"{path} has lines that ViZDoom does not understand; correct them there")
    return path


def scenario_id(game: str) -> str:
    """Convert any spelling of a scenario to its Gymnasium id: my_way_home, MyWayHome -> VizdoomMyWayHome-v1.

    Raises:
        UserError: if there is no such scenario, or ViZDoom is not installed.
    """
    try:
        from vizdoom import gymnasium_wrapper  # noqa: F401  (registers its environments)
    except ModuleNotFoundError as error:
        raise not_installed("vizdoom", "vizdoom") from error
    ids = {
        folded(name.removeprefix("Vizdoom").rpartition("-v")[0]): name
        for name in gymnasium.registry
        if name.startswith("Vizdoom")
    }
    if game in ids.values():
        return game
    scenario = ids.get(folded(game))
    if scenario is None:
        raise UserError(f"unknown ViZDoom scenario {game!r}; {nearest(game.lower(), ids)}")
    return scenario
