"""Command-line arguments as a dataclass, and what is wrong with them in one line."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import TypeVar, cast

import tyro

from adamas.core.errors import UserError

Options = TypeVar("Options")


def parse(
    options: type[Options], arguments: Sequence[str], command: str, default: Options | None = None
) -> Options:
    """Command-line arguments as a dataclass. ``--help`` prints all options and raises SystemExit.

    Args:
        options: the dataclass.
        arguments: as the shell gives them, without the command.
        command: what was called, such as ``"train debug"``.
        default: what to take for options that are not given; ``tyro.MISSING`` where one must be given.

    Raises:
        UserError: in one line, what ``tyro`` says over several.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsed = tyro.cli(
                options,
                args=list(arguments),
                prog=f"adamas {command}",
                default=default,
                config=(tyro.conf.FlagConversionOff,),
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UserError(f"{_gist(said.getvalue())} (adamas {command} --help lists the options)") from None
    return cast(Options, parsed)


def _gist(box: str) -> str:
    """The first paragraph of what ``tyro`` prints in a box, and the option it thinks was meant."""
    lines = [line.strip("│| ") for line in box.splitlines()[1:]]
    rules = [i for i, line in enumerate(lines) if not line.strip("─-+╰╯")]
    reason = " ".join(lines[: rules[0]] if rules else lines)
    offers = [line.split()[0] for line in lines if line.startswith("--")]
    return f"{reason}; did you mean {offers[0]}?" if offers and reason.startswith("Unrecognized") else reason
