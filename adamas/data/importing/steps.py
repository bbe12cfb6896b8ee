"""From frames and rows to an episode's steps: which row's action, reward and end belong to which frame.

A step leads from one kept frame to the next. Its action is that of the row in force in the first of the two. A row's
reward and end belong to exactly one step, the one in which the next row takes over::

    kept frames        o_0 ------------ o_1 ------------ o_2
    row in force       0                2                4
    events             of rows 0 and 1  of rows 2 and 3  of rows 4, 5, ...: the tail

Rows in the tail make one more step if they hold a reward or a true end. It leads to the recording's last frame: to one
that ``every`` has skipped, or else to the last kept frame once more, since nobody recorded what came after it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.core.pixels import shrink
from adamas.data.importing.clocks import check_clocks
from adamas.data.importing.rows import Rows
from adamas.data.importing.source import Frame, Note, Source


class Step(NamedTuple):
    """A frame, (3, H, W) uint8, the action taken in it and what came of that; the last frame has no action."""

    frame: np.ndarray
    action: np.ndarray | None
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False


@dataclass(frozen=True)
class _Kept:
    """A frame that becomes an observation."""

    number: int
    pixels: np.ndarray  # (3, H, W) uint8
    row: int  # in force when it is shown
    since: int  # the first row whose reward and end belong to no step before this frame
    began: bool  # the row was not yet in force in the kept frame before


class _Frames:
    """A recording's frames that can be decoded. Once they are read, it knows their number and the last one."""

    def __init__(self, source: Source, note: Note) -> None:
        self._source, self._note = source, note
        frames = source.frames(note)
        first = next(frames, None)
        self._frames = chain([] if first is None else [first], frames)
        self.clock = first is not None and first.time is not None
        self.total = 0  # those that were lost count too
        self.last: Frame | None = None

    def __iter__(self) -> Iterator[tuple[Frame, np.ndarray]]:
        path, shape = self._source.path, None
        for frame in self._frames:
            self.total = frame.number + 1
            if frame.pixels is None:
                continue
            shape = shape or frame.pixels.shape
            if frame.pixels.shape != shape:
                raise UserError(
                    f"{path}: frame {self.total} is {frame.pixels.shape[:2]}, the first {shape[:2]}; make all alike"
                )
            if self.last is not None and self.last.time is not None and (frame.time or 0.0) < self.last.time:
                raise UserError(f"{path}: the clock goes back at frame {self.total}; encode the video anew")
            self.last = frame
            yield frame, frame.pixels

    def check(self, rows: Rows) -> None:
        """Raise UserError if the table's length says that it is not of these frames."""
        path, table = self._source.path, rows.table
        if rows.times is not None and self.last is not None:
            check_clocks(path, table, rows.times, self.last, self._note)
        elif rows.known and self.total not in (len(rows), len(rows) + 1):
            raise UserError(
                f"{path} has {self.total} frames, but {table.path} has {len(rows)} rows; give a row for every frame, "
                "or for every frame but the last, or a column called time"
            )


def steps(
    source: Source,
    spec: ActionSpec,
    note: Note,
    size: tuple[int, int] | None = None,
    every: int = 1,
    ignore: Collection[str] = (),
) -> Iterator[Step]:
    """What an episode consists of, frame by frame.

    Args:
        source: the recording.
        spec: what an action is.
        note: takes lines for the user.
        size: height and width that frames are shrunk to. None: they stay as they are.
        every: of so many frames one is kept.
        ignore: columns to leave out.

    Raises:
        UserError: the frames differ in size, are too few, or are not those of the table.
    """
    frames = _Frames(source, note)
    rows = Rows(source.table, spec, ignore, frames.clock)
    if rows.times is None and "time" in source.table.columns and "time" not in ignore:
        note(f"{source.path} has no clock: a row is taken for each frame, and the column time left out")
    pending: Step | None = None  # held back, since events of the tail may still belong to it
    kept: _Kept | None = None
    for new in _kept_frames(frames, rows, size, every):
        if kept is not None and rows.hold(kept.row):  # too few rows: said when all frames are counted
            if pending is not None:
                yield pending
            pending = Step(kept.pixels, rows.action(kept.row), *rows.events(kept.since, new.row))
        kept = new
    frames.check(rows)
    if kept is None or frames.last is None or frames.last.pixels is None:
        raise UserError(f"{source.path} has no frame that can be read; restore it")
    skipped = frames.last.number > kept.number
    done = _with_tail(rows, kept, pending, skipped)
    if not done:
        raise UserError(
            f"{source.path} has {frames.total} frames; an episode needs at least two that are kept"
        )
    yield from done
    added = len(done) > (pending is not None)  # a step that leads from the last kept frame
    if added and not skipped:
        note(
            f"{source.path}: the last row holds a reward or an end, but no frame comes after it; the last frame is "
            "kept once more as the final observation"
        )
    yield Step(_small(frames.last.pixels, size) if added and skipped else kept.pixels, None)


def _with_tail(rows: Rows, kept: _Kept, pending: Step | None, skipped: bool) -> list[Step]:
    """The last steps: ``pending``, and one for the rows in the tail if they are worth it.

    Args:
        rows: all rows.
        kept: the last frame that is kept.
        pending: the step that leads to it; None: it is the first.
        skipped: more frames come after it.
    """
    done = [] if pending is None else [pending]
    if not rows.worth_a_step(kept.since) or any(step.terminated or step.truncated for step in done):
        return done
    reward, terminated, truncated = rows.events(kept.since, len(rows))
    if pending is not None and not skipped and not kept.began:  # the row's action has led to this frame
        return [pending._replace(reward=pending.reward + reward, terminated=terminated, truncated=truncated)]
    return [*done, Step(kept.pixels, rows.action(kept.row), reward, terminated, truncated)]


def _kept_frames(frames: _Frames, rows: Rows, size: tuple[int, int] | None, every: int) -> Iterator[_Kept]:
    before: int | None = None  # row of the kept frame before
    for frame, pixels in frames:
        if frame.number % every:
            continue
        row = rows.newest(frame)
        if row < 0:
            raise UserError(
                f"{rows.table.path}: no row holds yet when frame {frame.number + 1} is shown, at {frame.time:g} s; "
                "times must be seconds from the video's start, and begin at 0"
            )
        since, began = (0, True) if before is None else (row, row > before)
        yield _Kept(frame.number, _small(pixels, size), row, since, began)
        before = row


def _small(frame: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    """(H, W, 3) to (3, H', W')."""
    if size is None:
        return np.ascontiguousarray(frame.transpose(2, 0, 1))
    height, width = size
    if height > frame.shape[0] or width > frame.shape[1]:
        raise UserError(f"size {height}x{width} is larger than the frames, {frame.shape[0]}x{frame.shape[1]}")
    return shrink(np.array(frame)[None], height, width)[0]  # a copy, that may be written to
