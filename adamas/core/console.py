"""The terminal, or the file or pipe, to which tables are printed, and how counts are written."""

from __future__ import annotations

import errno

from rich.console import Console

FILE_WIDTH = 160  # columns when printing to a file or a pipe, which have no width of their own


class _Console(Console):
    """A console that leaves the end of its reader to :func:`~adamas.core.process.run_command`."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, "nobody reads the output")


def console() -> Console:
    """Make a console as wide as the terminal, or wide enough in a file or pipe that no table cell wraps."""
    terminal = _Console()
    return terminal if terminal.is_terminal else _Console(width=FILE_WIDTH)


def counted(count: int, what: str) -> str:
    """A number and what it counts, such as "1 episode" or "1,200 episodes"."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
