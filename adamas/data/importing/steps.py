"""Combine frames and rows into an episode's steps: which row's action, reward and end belong to which frame.

A step leads from one selected frame to the next; ``every`` selects every n-th frame. Its action is that of the row in
effect in the first of the two frames. A row's reward and end belong to exactly one step, the step in which the next row
takes effect::

    selected frames    o_0 ------------ o_1 ------------ o_2
    row in effect      0                2                4
    events             of rows 0 and 1  of rows 2 and 3  of rows 4, 5, ...: the tail

If rows in the tail have a reward or a true end, they make one more step. It leads to the recording's last frame. If
that frame is o_2 itself, o_2 is repeated as the final observation, since no later frame was recorded.
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
    """A frame, (3, H, W) uint8, the action taken in it, and its reward and end. The last frame has no action."""

    frame: np.ndarray
    action: np.ndarray | None
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False


@dataclass(frozen=True)
class _Selected:
    """A frame that becomes an observation."""

    number: int
    pixels: np.ndarray  # (3, H, W) uint8
    row: int  # in effect when the frame is shown
    since: int  # the first row whose reward and end belong to a step after this frame
    began: bool  # whether the row took effect after the previous selected frame


class _Frames:
    """Iterates over the frames of a recording that can be decoded, and remembers their number and the last frame."""

    def __init__(self, source: Source, note: Note) -> None:
        self._source, self._note = source, note
        frames = source.frames(note)
        first = next(frames, None)
        self._frames = chain([] if first is None else [first], frames)
        self.clock = first is not None and first.time is not None
        self.total = 0  # including frames that cannot be decoded
        self.decoded = 0
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
                    f"{path}: frame {self.total} is {frame.pixels.shape[:2]}, the first {shape[:2]}; give "
                    "all the same size"
                )
            if self.last is not None and self.last.time is not None and (frame.time or 0.0) < self.last.time:
                raise UserError(f"{path}: the time decreases at frame {self.total}; encode the video again")
            self.last = frame
            self.decoded += 1
            yield frame, frame.pixels

    def check(self, rows: Rows) -> None:
        """Raise UserError if the table's length does not fit the number of frames, or the length of the video."""
        path, table = self._source.path, rows.table
        if rows.times is not None and self.last is not None:
            check_clocks(path, table, rows.times, self.last, self._note)
        elif rows.known and self.total not in (len(rows), len(rows) + 1):
            raise UserError(
                f"{path} has {self.total} frames, but {table.path} has {len(rows)} rows; give a row for every frame, "
                "or for every frame except the last, or a column called time"
            )


def steps(
    source: Source,
    spec: ActionSpec,
    note: Note,
    size: tuple[int, int] | None = None,
    every: int = 1,
    ignore: Collection[str] = (),
) -> Iterator[Step]:
    """Yield the steps of an episode, and at last its final frame.

    Args:
        source: the recording.
        spec: what the actions are.
        note: called with lines for the user.
        size: height and width to which frames are shrunk. None: frames keep their size.
        every: every n-th frame is selected.
        ignore: columns to leave out.

    Raises:
        UserError: frames have different sizes, there are fewer than two, or they do not fit the table.
    """
    frames = _Frames(source, note)
    rows = Rows(source.table, spec, ignore, frames.clock)
    if rows.times is None and "time" in source.table.columns and "time" not in ignore:
        note(
            f"{source.path} has no times: frames and rows are matched one to one, and the column time is left out"
        )
    pending: Step | None = None  # not yielded yet, since events of the tail may belong to it
    last: _Selected | None = None
    for new in _selected_frames(frames, rows, size, every):
        if last is not None and rows.hold(last.row):  # if rows are missing, frames.check raises below
            if pending is not None:
                yield pending
            pending = Step(last.pixels, rows.action(last.row), *rows.events(last.since, new.row))
        last = new
    frames.check(rows)
    if last is None or frames.last is None or frames.last.pixels is None:
        raise UserError(f"{source.path} has no frame that can be read; restore it")
    skipped = frames.last.number > last.number
    done = _with_tail(rows, last, pending, skipped)
    if not done:
        raise UserError(
            f"{source.path} has {frames.decoded} frames, and an episode needs two; give a longer recording, or select "
            "more of its frames"
        )
    yield from done
    added = len(done) > (pending is not None)  # whether a step leads from the last selected frame
    if added and not skipped:
        note(
            f"{source.path}: the last row holds a reward or an end, but no frame comes after it; the last frame is "
            "repeated as the final observation"
        )
    yield Step(_small(frames.last.pixels, size) if added and skipped else last.pixels, None)


def _with_tail(rows: Rows, last: _Selected, pending: Step | None, skipped: bool) -> list[Step]:
    """Return the last steps: ``pending``, and one for the rows in the tail if they have a reward or a true end.

    Args:
        rows: all rows.
        last: the last selected frame.
        pending: the step that leads to it; None if it is the first frame.
        skipped: whether more frames come after it.
    """
    done = [] if pending is None else [pending]
    if not rows.worth_a_step(last.since) or any(step.terminated or step.truncated for step in done):
        return done
    reward, terminated, truncated = rows.events(last.since, len(rows))
    if pending is not None and not skipped and not last.began:  # the row's action has led to this frame
        return [pending._replace(reward=pending.reward + reward, terminated=terminated, truncated=truncated)]
    return [*done, Step(last.pixels, rows.action(last.row), reward, terminated, truncated)]


def _selected_frames(
    frames: _Frames, rows: Rows, size: tuple[int, int] | None, every: int
) -> Iterator[_Selected]:
    before: int | None = None  # row of the previous selected frame
    for frame, pixels in frames:
        if frame.number % every:
            continue
        row = rows.newest(frame)
        if row < 0:
            raise UserError(
                f"{rows.table.path}: no row is in effect yet at frame {frame.number + 1}, which is shown "
                f"at {frame.time:g} s; times must be seconds from the video's start, and begin at 0"
            )
        since, began = (0, True) if before is None else (row, row > before)
        yield _Selected(frame.number, _small(pixels, size), row, since, began)
        before = row


def _small(frame: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    """Convert a frame from (H, W, 3) to (3, H', W')."""
    if size is None:
        return np.ascontiguousarray(frame.transpose(2, 0, 1))
    height, width = size
    if height > frame.shape[0] or width > frame.shape[1]:
        raise UserError(
            f"`size` is {height}x{width}, larger than the frames, {frame.shape[0]}x{frame.shape[1]}; give a smaller one"
        )
    return shrink(np.array(frame)[None], height, width)[0]  # a copy, since PyTorch needs a writable array
