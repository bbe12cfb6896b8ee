"""Where tables are printed."""

from __future__ import annotations

from rich.console import Console

FILE_WIDTH = 160  # columns of a file or a pipe, which have no width of their own


def console() -> Console:
    """As wide as the terminal. Without one wide enough that no cell is broken, so that lines can be searched."""
    here = Console()
    return here if here.is_terminal else Console(width=FILE_WIDTH)
