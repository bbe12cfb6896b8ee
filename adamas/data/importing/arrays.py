"""Episodes as arrays: NPZ and HDF5 files, and the public recordings of CS:GO."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from adamas.core.errors import UserError, require
from adamas.data.importing.source import EVENTS, Source, Table

NAMES = {
    "obs": ("obs", "observations", "observation", "frames", "images"),
    "action": ("action", "actions"),
    "reward": ("reward", "rewards"),
    "terminated": ("terminated", "terminations", "terminal", "terminals", "done", "dones"),
    "truncated": ("truncated", "truncations", "timeout", "timeouts"),
}
CSGO_FRAME = (150, 280, 3)
CSGO_KEYS = ("w", "a", "s", "d", "space", "ctrl", "shift", "1", "2", "3", "r", "left_click", "right_click")
CSGO_MOUSE_X, CSGO_MOUSE_Y = 23, 15
CSGO_BUTTONS = (
    *CSGO_KEYS,
    *(f"mouse_x_{i}" for i in range(CSGO_MOUSE_X)),
    *(f"mouse_y_{i}" for i in range(CSGO_MOUSE_Y)),
)
"""The 51 entries of an action there: keys and clicks, then one bin of the mouse's way along each axis."""


def npz(path: Path, actions: Path | None) -> list[Source]:
    """An episode in a file, or a folder of such files."""
    refuse_table(path, actions)
    files = [path] if path.is_file() else sorted(path.glob("*.npz"))
    sources = []
    for file in files:
        try:
            with np.load(file) as content:
                sources.append(_episode(file, {name: content[name] for name in content.files}))
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise UserError(f"{file} is no NPZ file of plain arrays ({error}); export it anew") from error
    return sources


def hdf5(path: Path, actions: Path | None) -> list[Source]:
    """Episodes in a file or a folder of such files: one a file, one a group, or in the layout of CS:GO's recordings."""
    refuse_table(path, actions)
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise require("h5py", "data") from error
    files = [path] if path.is_file() else sorted(p for p in path.iterdir() if p.suffix in (".hdf5", ".h5"))
    sources: list[Source] = []
    for file in files:
        try:
            with h5py.File(file) as content:
                names = list(content)
                if "frame_0_x" in names:
                    sources.append(_csgo(file, content))
                elif names and all(isinstance(content[name], h5py.Group) for name in names):
                    sources.extend(_episode(file, content[name], name) for name in names)
                else:
                    sources.append(_episode(file, content))
        except OSError as error:
            raise UserError(f"{file} is no HDF5 file ({error}); restore it") from error
    return sources


def _episode(file: Path, content: Mapping[str, Any], group: str = "") -> Source:
    """An episode of which the arrays are at hand, or datasets that h5py reads in parts."""
    where = f"{file}, {group}" if group else str(file)
    name = _find("obs", where, content)
    obs = content[name]
    if obs.dtype != np.uint8 or len(obs.shape) != 4 or 3 not in (obs.shape[1], obs.shape[3]):
        raise UserError(
            f"{where}: {name} is {obs.dtype} {tuple(obs.shape)}; frames must be uint8, (T, H, W, 3) or (T, 3, H, W)"
        )
    columns = columns_of(where, content)
    path = Path(f"{file}:{group}") if group else file
    return Source(path, Table(path, columns), partial(_frames, file, group, name))


def columns_of(where: str, content: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The columns of an episode's table: what was done, and what came of it. ``where`` that is, errors say."""
    name = _find("action", where, content)
    action = np.asarray(content[name])
    if action.dtype.kind not in "biuf" or action.ndim not in (1, 2) or not np.isfinite(action).all():
        raise UserError(f"{where}: {name} must be finite numbers (T,) or (T, K), got {action.shape}")
    columns = {"action": action.astype(np.float64)} if action.ndim == 1 else _columns(action)
    for part in EVENTS:
        if event := next((name for name in NAMES[part] if name in content), None):
            column = np.asarray(content[event]).astype(np.float64)
            if column.shape != (len(action),) or not np.isfinite(column).all():
                raise UserError(f"{where}: {event} must be {len(action)} finite numbers, as many as {name}")
            columns[part] = column
    return columns


def _find(part: str, where: str, content: Mapping[str, Any]) -> str:
    """What a part that must be there is called."""
    name = next((name for name in NAMES[part] if name in content), None)
    if name is None:
        raise UserError(
            f"{where} has no array called {' or '.join(NAMES[part])}; it has {', '.join(content)}"
        )
    return name


def _columns(action: np.ndarray) -> dict[str, np.ndarray]:
    return {f"action_{i}": action[:, i].astype(np.float64) for i in range(action.shape[1])}


def _frames(file: Path, group: str, name: str) -> Iterator[tuple[float, np.ndarray]]:
    """The frames one by one, (H, W, 3)."""
    if file.suffix == ".npz":
        with np.load(file) as content:
            yield from _one_by_one(content[name])
        return
    import h5py

    with h5py.File(file) as content:
        yield from _one_by_one((content[group] if group else content)[name])


def _one_by_one(obs: Any) -> Iterator[tuple[float, np.ndarray]]:
    first = obs.shape[3] != 3  # channels come first
    for t in range(len(obs)):
        frame = np.asarray(obs[t])
        yield float(t), frame.transpose(1, 2, 0) if first else frame


def _csgo(file: Path, content: Mapping[str, Any]) -> Source:
    """The layout of the CS:GO recordings (Pearce and Zhu 2021): frames ``frame_i_x`` and actions ``frame_i_y``."""
    count = 0
    actions = []
    while f"frame_{count}_x" in content:
        frame, name = content[f"frame_{count}_x"], f"frame_{count}_y"
        if frame.shape != CSGO_FRAME or frame.dtype != np.uint8:
            raise UserError(
                f"{file}: frame_{count}_x is {frame.dtype} {tuple(frame.shape)}, not uint8 {CSGO_FRAME}; get it again"
            )
        if name not in content or content[name].shape != (len(CSGO_BUTTONS),):
            raise UserError(f"{file}: {name} must be {len(CSGO_BUTTONS)} numbers; get it again")
        actions.append(np.asarray(content[name], dtype=np.float64))
        count += 1
    columns = dict(zip(CSGO_BUTTONS, np.stack(actions).T, strict=True))
    return Source(file, Table(file, columns), partial(_csgo_frames, file, count))


def _csgo_frames(file: Path, count: int) -> Iterator[tuple[float, np.ndarray]]:
    import h5py

    with h5py.File(file) as content:
        for i in range(count):
            yield float(i), np.asarray(content[f"frame_{i}_x"])[..., ::-1]  # blue first, as OpenCV has it


def refuse_table(path: Path, actions: Path | None) -> None:
    """Raise UserError if a table is given for what has its actions in itself."""
    if actions is not None:
        raise UserError(f"{path} holds its own actions; leave out --actions")
