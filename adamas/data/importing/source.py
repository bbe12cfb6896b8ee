"""What every importer makes of a recording: its frames, one after the other, and a table of what happened."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError

Column = np.ndarray
"""(rows,) float64, or texts."""

EVENTS = ("reward", "terminated", "truncated")
COUNTERS = ("frame", "episode")  # they say where a row belongs, and are no part of an action
BUTTON, AXIS, STATE = "button", "axis", "state"  # what a file itself may say of a column

Note = Callable[[str], None]
"""Takes one line for the user: what was understood, repaired or left out."""


class Frame(NamedTuple):
    """One frame of a recording.

    Attributes:
        number: its place in the recording, from 0; frames that are lost count too.
        time: seconds from the first frame; None where the recording has no clock.
        pixels: (H, W, 3) uint8; None: the frame was there, but cannot be decoded.
    """

    number: int
    time: float | None
    pixels: np.ndarray | None


class CannotReadError(UserError):
    """A file of a recording is damaged. Episodes that were imported before it are kept."""


@dataclass(frozen=True)
class Table:
    """The rows of a table by column.

    The columns ``reward``, ``terminated`` and ``truncated`` say what came of an action; ``time`` (seconds) from when on
    a row holds; ``frame`` and ``episode`` count. All others are parts of the action. A table without any column stands
    for a recording of which no table is known.

    Attributes:
        path: the file, for messages.
        columns: by name.
        lines: by which number the file knows each row; empty: the first is row 1.
        kinds: what the file itself says of columns: a BUTTON, an AXIS, or the game's STATE, which is no part of the
            action unless the user says so.
        keyboard: made of lists of what is pressed, so that a button without a column was never pressed.
    """

    path: Path
    columns: Mapping[str, Column]
    lines: Sequence[int] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    keyboard: bool = False

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def line(self, index: int) -> int:
        """By which number the file knows a row, for messages."""
        return self.lines[index] if self.lines else index + 1

    def actions(self, said: Collection[str] = ()) -> list[str]:
        """The names of the action's columns; those that the user ``said`` are such are among them."""
        others = {*EVENTS, *COUNTERS, "time", *(name for name, kind in self.kinds.items() if kind == STATE)}
        return [name for name in self.columns if name in said or name not in others]


@dataclass(frozen=True)
class Source:
    """One episode that can be imported.

    Attributes:
        path: the file or folder, for messages.
        table: a row for every frame, or for every frame but the last; or rows that hold from their ``time`` on.
        frames: starts to read.
        action_spec: what an action is, where the recording says so; None: the tables' numbers do.
    """

    path: Path
    table: Table
    frames: Callable[[Note], Iterator[Frame]]
    action_spec: ActionSpec | None = None
