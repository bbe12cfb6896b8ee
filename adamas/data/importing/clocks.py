"""Check whether the times in a table and in a video can come from the same clock."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from adamas.core.errors import UserError
from adamas.data.importing.source import Frame, Note, Table

VIDEO_TICK = 0.001
"""Resolution of frame times in seconds. Matroska and WebM store milliseconds."""
DRIFT = 0.01
"""Most that the ends of two clocks may differ, as a share of the video's length."""
UNITS = {"ms": 1e-3, "us": 1e-6, "ns": 1e-9}
"""Units of time in seconds, by the suffix of a column's name, such as ``time_ms``."""


def tolerance(times: np.ndarray) -> float:
    """Return the most seconds by which a row's time may be later than its frame's, because both may be rounded.

    Times of frames are rounded to ticks of the video. A table's times with two or three decimals may be off by half a
    unit of the last decimal; those with fewer or more decimals are assumed to be exact.
    """
    written = next((d for d in (0, 1, 2, 3) if np.allclose(times, times.round(d), rtol=0, atol=1e-9)), 4)
    return VIDEO_TICK / 2 + (0.5 * 10.0**-written if written in (2, 3) else 0.0)


def check_clocks(path: Path, table: Table, times: np.ndarray, last: Frame, note: Note) -> None:
    """Compare how long a video and its table last. A video of which one frame can be read has no length.

    Args:
        path: the video.
        table: its table, for messages.
        times: (rows,) seconds at which each row takes effect.
        last: the video's last frame.
        note: called if the table is much shorter, so that its last row holds for a long time.

    Raises:
        UserError: the table is much longer, so that its last rows belong to no frame.
    """
    if last.number == 0:
        return
    interval = (last.time or 0.0) / last.number  # seconds from one frame to the next
    length, end = (last.time or 0.0) + interval, float(times[-1])
    between = np.diff(times) if len(times) > 1 else np.zeros(1)  # seconds from one row to the next
    slack = max(DRIFT * length, 2 * interval)
    lengths = f"{path} lasts {length:.3f} s, but the times in {table.path} end at {end:.3f}"
    if end - length > max(slack, 2 * float(between.min())):
        unit = next((name for name, seconds in UNITS.items() if 0.5 < end * seconds / length < 2), None)
        if unit is not None:
            raise UserError(
                f"{lengths} and seem to be in {unit}; convert them to seconds, or rename the column to time_{unit}"
            )
        if abs(end - last.number) <= 1:
            raise UserError(f"{lengths} and seem to be frame numbers; rename the column to frame")
        raise UserError(f"{lengths}; give the whole video, or only the rows that belong to it")
    if length - end > max(slack, 2 * float(between.max())):  # a log of changes may pause
        note(f"{lengths}: the last row is taken to hold until the video's end")
