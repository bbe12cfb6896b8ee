"""The common form into which every importer brings a recording: its frames, and a table of actions and events."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError

Column = np.ndarray
"""(rows,) float64 or text."""

EVENTS = ("reward", "terminated", "truncated")
COUNTERS = ("frame", "episode")  # these columns identify a row, and are not part of an action
BUTTON, AXIS, STATE = "button", "axis", "state"  # kinds of columns that a file may declare

Note = Callable[[str], None]
"""Takes one line for the user about what was inferred, repaired or left out."""


class Frame(NamedTuple):
    """One frame of a recording.

    Attributes:
        number: its position in the recording, from 0; frames that cannot be decoded count too.
        time: seconds from the first frame; None if the recording has no clock.
        pixels: (H, W, 3) uint8; None if the frame cannot be decoded.
    """

    number: int
    time: float | None
    pixels: np.ndarray | None


class CannotReadError(UserError):
    """A file of a recording is damaged. Episodes that were imported before it are not lost."""


@dataclass(frozen=True)
class Selection:
    """What is imported from files that hold their own actions.

    Attributes:
        frames: a part of the path of the array that holds the frames. None: there is only one such array.
        actions: whether to import actions. If False, files need not hold any.
        ignore: names after import of columns that are not read.
    """

    frames: str | None = None
    actions: bool = True
    ignore: Collection[str] = ()


@dataclass(frozen=True)
class Table:
    """The rows of a table, by column.

    The columns ``reward``, ``terminated`` and ``truncated`` are the result of an action. ``time`` is when a row takes
    effect, in seconds. ``frame`` and ``episode`` are counters. All other columns are parts of the action. A table
    without columns stands for a recording that has no table.

    Attributes:
        path: the file, for error messages.
        columns: the columns by name.
        lines: the number of each row in the file; empty if rows are numbered 1, 2, ...
        kinds: kinds of columns that the file declares: BUTTON, AXIS, or STATE (of the game), which is not part of the
            action unless the user asks for it.
        keyboard: whether rows list the pressed keys, so that a button without a column was never pressed.
        ignored: names after import of columns that were not read, since the user ignores them.
    """

    path: Path
    columns: Mapping[str, Column]
    lines: Sequence[int] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    keyboard: bool = False
    ignored: Collection[str] = ()

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def line(self, index: int) -> int:
        """Return the number of a row in the file, for error messages."""
        return self.lines[index] if self.lines else index + 1

    def actions(self, named: Collection[str] = ()) -> list[str]:
        """Return the names of the action's columns, including those that the user named (``named``)."""
        others = {*EVENTS, *COUNTERS, "time", *(name for name, kind in self.kinds.items() if kind == STATE)}
        return [name for name in self.columns if name in named or name not in others]


@dataclass(frozen=True)
class Source:
    """One episode that can be imported.

    Attributes:
        path: the file or folder, for error messages.
        table: a row for every frame, or for every frame except the last; or rows that take effect at their ``time``.
        frames: starts to read the frames.
        action_spec: what the actions are, if the recording says so; None: they are inferred from the tables.
        origin: the file or folder that holds the recording; None: ``path``.
    """

    path: Path
    table: Table
    frames: Callable[[Note], Iterator[Frame]]
    action_spec: ActionSpec | None = None
    origin: Path | None = None
