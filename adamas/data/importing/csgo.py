"""Read the public recordings of CS:GO (Pearce and Zhu 2021)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from adamas.core.errors import UserError
from adamas.data.importing.source import Frame, Note, Source, Table

FRAME = (150, 280, 3)
KEYS = ("w", "a", "s", "d", "space", "ctrl", "shift", "1", "2", "3", "r", "left_click", "right_click")
MOUSE_X, MOUSE_Y = 23, 15
CSGO_BUTTONS = (
    *KEYS,
    *(f"mouse_x_{i}" for i in range(MOUSE_X)),
    *(f"mouse_y_{i}" for i in range(MOUSE_Y)),
)
"""The 51 entries of an action: keys and clicks, then one-hot bins of the mouse movement along each axis."""


def is_csgo(content: Any) -> bool:
    """Whether an open HDF5 file has the layout of these recordings."""
    return "frame_0_x" in content


def csgo(file: Path, content: Any, opened: Callable[[], AbstractContextManager[Any]]) -> Source:
    """Read the episode in an open file: frames ``frame_i_x`` and actions ``frame_i_y``."""
    count = 0
    actions = []
    while f"frame_{count}_x" in content:
        frame, name = content[f"frame_{count}_x"], f"frame_{count}_y"
        if frame.shape != FRAME or frame.dtype != np.uint8:
            raise UserError(
                f"{file}: frame_{count}_x is {frame.dtype} {tuple(frame.shape)}, not uint8 {FRAME}; download it again"
            )
        if name not in content or content[name].shape != (len(CSGO_BUTTONS),):
            raise UserError(f"{file}: {name} must be {len(CSGO_BUTTONS)} numbers; download the file again")
        actions.append(np.asarray(content[name], dtype=np.float64))
        count += 1
    left = sum(name.endswith("_x") for name in content) - count
    if left:
        raise UserError(
            f"{file}: frame_{count}_x is missing, but {left} frames come after it; download the file again"
        )
    columns = dict(zip(CSGO_BUTTONS, np.stack(actions).T, strict=True))
    return Source(file, Table(file, columns), partial(_frames, opened, count))


def _frames(opened: Callable[[], AbstractContextManager[Any]], count: int, note: Note) -> Iterator[Frame]:
    with opened() as content:
        for i in range(count):
            # From BGR, as OpenCV writes it, to RGB.
            yield Frame(i, None, np.asarray(content[f"frame_{i}_x"])[..., ::-1])
