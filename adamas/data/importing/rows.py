"""The checked rows of a table: which row is in effect in a frame, and its action, reward and end."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.data.importing.actions import encode
from adamas.data.importing.clocks import tolerance
from adamas.data.importing.source import COUNTERS, EVENTS, Frame, Table


class Rows:
    """The rows of a table, checked.

    Attributes:
        table: the table.
        known: False for a recording without a table, which has no actions, rewards or ends.
        times: (rows,) seconds at which each row takes effect; None if there is a row for each frame.
        actions: (rows, ``*spec.shape``).
        reward, terminated, truncated: (rows,) float64, bool, bool.
    """

    def __init__(self, table: Table, spec: ActionSpec, ignore: Collection[str], clock: bool) -> None:
        """Check a table.

        Args:
            table: the table.
            spec: what the actions are.
            ignore: columns to leave out.
            clock: whether the recording has times of its frames.

        Raises:
            UserError: a column contains impossible times, ends, rewards or frame numbers.
        """
        self.table = table
        self.known = bool(table.columns)
        self.actions = encode(table, spec)
        columns = {name: x for name, x in table.columns.items() if name not in ignore}
        texts = [
            name
            for name in ("time", *EVENTS, *COUNTERS)
            if name in columns and columns[name].dtype.kind == "U"
        ]
        if texts:
            raise UserError(
                f"{table.path}: time, {', '.join((*EVENTS, *COUNTERS))} must be numbers; {texts[0]} is "
                f"{str(columns[texts[0]][0])!r} in row {table.line(0)}"
            )
        zeros = np.zeros(len(table))
        flags = {name: columns.get(name, zeros) for name in EVENTS[1:]}
        self.reward = columns.get("reward", zeros)
        self.terminated, self.truncated = (flag != 0 for flag in flags.values())
        self.times = columns.get("time") if clock else None
        self._starts = None if self.times is None else self.times - tolerance(self.times)
        self._check_values(flags)
        self._check_order(columns)

    def __len__(self) -> int:
        return len(self.table)

    def _check_values(self, flags: Mapping[str, np.ndarray]) -> None:
        for name, column in flags.items():
            if (i := _first((column != 0) & (column != 1))) is not None:
                raise UserError(
                    f"{self.table.path}, row {self.table.line(i)}: {name} is {column[i]:g}; it must be 0 or 1"
                )
        if (i := _first(np.abs(self.reward) > np.finfo(np.float32).max)) is not None:
            raise UserError(
                f"{self.table.path}, row {self.table.line(i)}: the reward {self.reward[i]:g} is too large; "
                "scale it down"
            )

    def _check_order(self, columns: Mapping[str, np.ndarray]) -> None:
        table = self.table
        if self.times is not None and (i := _first(np.diff(self.times, prepend=0) < 0)) is not None:
            raise UserError(
                f"{table.path}: time must be seconds from the video's start, and never decrease; it is "
                f"{self.times[i]:g} in row {table.line(i)}"
            )
        if "episode" in columns and (i := _first(np.diff(columns["episode"]) != 0)) is not None:
            raise UserError(
                f"{table.path}, row {table.line(i + 1)}: another episode begins; give each one a recording and a table"
            )
        frame = columns.get("frame")
        if frame is not None and self.times is None and len(frame) > 1:
            stride = frame[1] - frame[0]
            if (i := _first((np.diff(frame) != stride) | (stride <= 0))) is not None:
                raise UserError(
                    f"{table.path}, row {table.line(i + 1)}: frame is {frame[i + 1]:g} after {frame[i]:g}; give a "
                    "row for every frame, in their order"
                )
        end = _first(self.terminated | self.truncated)
        # If every frame has a row, the row after an end belongs to the last frame, in which no action is taken.
        rows_after = 1 if self.times is None else len(self)
        if end is not None and (end + 1 + rows_after < len(self) or self.reward[end + 1 :].any()):
            raise UserError(
                f"{table.path}: the episode continues after its end in row {table.line(end)}; give each episode a "
                "recording, or leave the column out with `ignore`"
            )

    def newest(self, frame: Frame) -> int:
        """Return the number of the row in effect when a frame is shown; negative if none is yet."""
        if self._starts is None or frame.time is None:
            return frame.number
        return int(np.searchsorted(self._starts, frame.time, side="right")) - 1

    def hold(self, row: int) -> bool:
        """Whether the action of row number ``row`` is known."""
        return not self.known or row < len(self)

    def worth_a_step(self, since: int) -> bool:
        """Whether row ``since`` or a later row has a reward or a true end."""
        return bool(self.reward[since:].any() or self.terminated[since:].any())

    def action(self, row: int) -> np.ndarray:
        """Return the action of a row, of shape ``spec.shape``."""
        return np.asarray(self.actions[row if self.known else 0])

    def events(self, since: int, end: int) -> tuple[float, bool, bool]:
        """Return the sum of rewards of rows in [since, end), and whether a row terminated or truncated the episode."""
        part = slice(since, end)
        return (
            float(self.reward[part].sum()),
            bool(self.terminated[part].any()),
            bool(self.truncated[part].any()),
        )


def _first(wrong: np.ndarray) -> int | None:
    """Return the number of the first row that is wrong; None if there is none."""
    return int(wrong.argmax()) if wrong.any() else None
