"""Errors that a user can mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake of the user's or the machine's that one clear line explains.

    The command line prints the message alone and exits with code 2. The message names the thing, the reason
    and the remedy.
    """


def nearest(name: str, valid: Iterable[str]) -> str:
    """A hint that ends an error message: the closest valid name, or all of them if none is close."""
    names = sorted(valid)
    folded = {n.lower(): n for n in names}
    close = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.5)
    if close:
        return f"did you mean {folded[close[0]]!r}?"
    return f"valid: {', '.join(names)}"


def require(module: str, extra: str) -> UserError:
    """The error for an optional dependency that is not installed."""
    return UserError(f"{module} is not installed; install it with: pip install 'adamas[{extra}]'")
