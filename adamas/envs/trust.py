"""Trust in games whose configuration can run code: they are refused unless the command line names them.

Every run, checkpoint and data set contains a configuration, also those from strangers. Three things in it could run
code: the module in a Gymnasium id (``module:Game-v0`` imports it), a ViZDoom .cfg file (it can name the program to
start), and text among the keyword arguments of an environment (it can be a path or a module). None of them is used
unless ``--env.game`` on the command line names the same game.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import PurePath

from adamas.core.errors import UserError
from adamas.envs.config import EnvConfig, GymnasiumConfig, RenderedConfig, VizdoomConfig

OPTION = "--env.game"
OURS = frozenset({"shimmy"})
"""Modules that the built-in presets use."""

_named: set[str] = set()


def trust(game: str) -> None:
    """Allow ``game`` to import its module, read its .cfg file and take text as keyword arguments, in this process."""
    _named.add(game)


def trust_named(arguments: Sequence[str]) -> None:
    """Trust the games that command-line arguments name with ``--env.game``."""
    for word, following in zip(arguments, [*arguments[1:], ""], strict=True):
        option, equals, value = word.partition("=")
        if option == OPTION:
            trust(value if equals else following)


def check_trusted(config: EnvConfig) -> None:
    """Refuse a game that could run code and is not trusted.

    Raises:
        UserError: if it is refused. The message says how to trust the game.
    """
    reason = _danger(config)
    if reason and config.game not in _named:
        raise UserError(
            f"the game {config.game} {reason}, which can run code, and its name comes from a file; if you trust it, "
            f"add: {OPTION} {shlex.quote(config.game)}"
        )


def is_doom_file(game: str) -> bool:
    """Whether the name of a ViZDoom game is that of a .cfg file."""
    return PurePath(game).suffix == ".cfg"


def _danger(config: EnvConfig) -> str:
    """Describe what in ``config`` could run code; "" if nothing could."""
    module, colon, _ = config.game.partition(":")
    if isinstance(config, GymnasiumConfig) and colon and module not in OURS and module not in sys.modules:
        return f"imports the module {module}"
    if isinstance(config, VizdoomConfig) and is_doom_file(config.game):
        return "is a configuration file of ViZDoom"
    if isinstance(config, RenderedConfig) and _holds_text(config.arguments):
        return "takes text as keyword arguments (`env.kwargs`)"
    return ""


def _holds_text(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_text, value.values()))
    return isinstance(value, str) or (isinstance(value, list) and any(map(_holds_text, value)))
