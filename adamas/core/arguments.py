"""Command-line arguments as a dataclass, and what is wrong with them in one line."""

from __future__ import annotations

import contextlib
import io
import itertools
import re
from collections.abc import Sequence
from typing import TypeVar, cast

import tyro

from adamas.core.config import check_numbers
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
        UserError: in one line, what ``tyro`` says over several; or a number that no option can mean, see
            :func:`~adamas.core.config.check_numbers`.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsed = tyro.cli(
                options,
                args=list(arguments),
                prog=f"adamas {command}",
                default=default,
                # What may be None and is, has no options: a preset decides whether there is such a part.
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.AvoidSubcommands),
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UserError(f"{_gist(said.getvalue())} (adamas {command} --help lists the options)") from None
    check_numbers(parsed)
    return cast(Options, parsed)


def _gist(box: str) -> str:
    """The first paragraph of what ``tyro`` prints in a box, and the option it thinks was meant.

    The first line is a title. On a terminal the box is coloured, elsewhere it has no sides.
    """
    plain = re.sub(r"\x1b\[[\d;]*m", "", box)
    lines = [line.strip("│ ") for line in plain.splitlines()[1:]]
    paragraphs = itertools.groupby(lines, key=lambda line: bool(line.strip("─-╰╯")))
    reason = next((" ".join(words) for is_text, words in paragraphs if is_text), "the options do not fit")
    offers = [line.split()[0] for line in lines if re.match(r"--\w", line)]
    return f"{reason}; did you mean {offers[0]}?" if offers and reason.startswith("Unrecognized") else reason
