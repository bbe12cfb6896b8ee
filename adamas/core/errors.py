"""Errors that a user can correct."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping


class UserError(Exception):
    """An error of the user or the machine that one clear line explains: the thing, the reason and the remedy.

    A message names arguments and fields, never options of the command line. Where it names a field in backquotes, such
    as ```env.game```, the command line shows the option instead (:func:`with_flags`). The command line prints the
    message alone and exits with code 2.
    """


class Interrupted(Exception):
    """The user stopped the work, and what was done is saved. The message says how to continue.

    The command line prints the message alone and exits with code 130.
    """


def with_flags(message: str, flags: Mapping[str, str]) -> str:
    """A message of a :class:`UserError` for the command line: ```env.game``` becomes ``--env.game``.

    A nested field may be written without its leading path, such as ```loss.gamma```, if only one option ends in it.

    Args:
        message: the message.
        flags: the options of the command by field; other words in backquotes stay as they are.
    """
    return re.sub(r"`([\w.]+)`", lambda found: _flag(found[1], flags) or found[0], message)


def _flag(field: str, flags: Mapping[str, str]) -> str | None:
    if field in flags or "." not in field:
        return flags.get(field)
    found = [flag for name, flag in flags.items() if name.endswith(f".{field}")]
    return found[0] if len(found) == 1 else None


def nearest(name: str, valid: Iterable[str]) -> str:
    """A hint that ends an error message: the closest valid name, or all of them if none is close."""
    names = sorted(valid)
    folded = {n.lower(): n for n in names}
    close = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.5)
    if close:
        return f"did you mean {folded[close[0]]!r}?"
    return f"valid: {', '.join(names)}"


def not_installed(module: str, extra: str) -> UserError:
    """The error for an optional dependency that is not installed."""
    return UserError(f"{module} is not installed; install it with: pip install 'adamas[{extra}]'")
