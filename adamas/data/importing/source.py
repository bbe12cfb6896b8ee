"""What every importer makes of a recording: its frames, one after the other, and a table of what happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adamas.core.actions import ActionSpec

Column = np.ndarray
"""(rows,) float64, or texts."""

EVENTS = ("reward", "terminated", "truncated")
TIMES = ("time", "frame", "episode")


@dataclass(frozen=True)
class Table:
    """The rows of a table by column. Errors count them from ``first_line``, as the file does.

    The columns ``reward``, ``terminated`` and ``truncated`` say what came of an action; ``time`` (seconds) from when on
    a row holds. All others are parts of the action, but ``frame`` and ``episode``, which are left out.
    """

    path: Path
    columns: Mapping[str, Column]
    first_line: int = 1

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    @property
    def action(self) -> dict[str, Column]:
        """The columns of the action."""
        return {name: x for name, x in self.columns.items() if name not in (*EVENTS, *TIMES)}


@dataclass(frozen=True)
class Source:
    """One episode that can be imported.

    Attributes:
        path: the file or folder, for messages.
        table: a row for every frame, or for every frame but the last; or rows that hold from their ``time`` on.
        frames: starts to read: (H, W, 3) or (H, W) uint8 each, with the time in seconds at which it is shown.
        action_spec: what an action is, where the recording says so; None: the tables' numbers do.
    """

    path: Path
    table: Table
    frames: Callable[[], Iterator[tuple[float, np.ndarray]]]
    action_spec: ActionSpec | None = None
