"""Read episodes from named arrays, such as those of an HDF5 or NPZ file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from adamas.core.errors import UserError
from adamas.data.importing.names import ALIASES, column, meaning, split_done
from adamas.data.importing.source import EVENTS, Frame, Note, Selection, Source, Table

MAX_PARTS = 10_000
"""Most numbers in an action."""

Arrays = Mapping[str, Any]
"""Arrays by their path in a file, such as ``obs/camera``. Each has a shape and a dtype, and is read when indexed."""
Opener = Callable[[], AbstractContextManager[Arrays]]


def episode(place: Path, opened: Opener, arrays: Arrays, selection: Selection) -> Source:
    """Make an importable episode of arrays.

    Args:
        place: name of the episode in error messages.
        opened: opens the file again, to read the frames later.
        arrays: the arrays of the episode.
        selection: what to import.

    Raises:
        UserError: an array is missing, or its content does not fit its name.
    """
    if "is_first" in arrays:
        raise UserError(
            f"{place} has an array is_first, and in such files an action may be stored with the frame that it led "
            "to; store every action with the frame in which it was taken, and remove is_first"
        )
    name = frames_name(place, arrays, selection.frames)
    table = table_of(place, arrays, len(arrays[name]), selection)
    final = _next_of(name, arrays) if len(table) == len(arrays[name]) else None
    return Source(place, table, partial(_frames, opened, name, final))


def frames_name(place: Path, arrays: Arrays, key: str | None) -> str:
    """Return the path of the array that holds the frames.

    Raises:
        UserError: there is none, or there are several and ``key`` does not choose one.
    """
    obs = [name for name in arrays if meaning(name.split("/")[0], ALIASES) == "obs"]
    if key is not None:
        found = [name for name in arrays if f"/{key.strip('/')}/" in f"/{name}/" and _is_video(arrays[name])]
        found = [name for name in found if meaning(name.split("/")[0], ALIASES) != "next_obs"]
    elif len(obs) == 1:
        found = obs
    else:
        found = [name for name in obs if _is_video(arrays[name])]
    if len(found) > 1:
        raise UserError(f"{place} has several arrays of frames: {', '.join(found)}; choose one with `frames`")
    if not found and key is not None:
        raise UserError(f"{place} has no frames called {key}; it has {_list(arrays)}")
    if not found:
        wanted = f"array called {' or '.join(ALIASES['obs'])}{' that holds frames' if obs else ''}"
        raise UserError(f"{place} has no {wanted}; it has {_list(arrays)}; name one with `frames`")
    array = arrays[found[0]]
    if not _is_video(array):
        raise UserError(
            f"{place}: {found[0]} is {array.dtype} {tuple(array.shape)}; frames must be uint8, (T, H, W, 3) or "
            "(T, 3, H, W)"
        )
    return found[0]


def _is_video(array: Any) -> bool:
    return bool(array.dtype == np.uint8 and len(array.shape) == 4 and 3 in (array.shape[1], array.shape[3]))


def _list(names: Mapping[str, Any]) -> str:
    shown = list(names)[:20]
    return (
        ", ".join(shown) + (f" and {len(names) - 20} more" if len(names) > 20 else "") if shown else "nothing"
    )


def table_of(place: Path, arrays: Arrays, num_frames: int, selection: Selection) -> Table:
    """Return the table of an episode: actions, rewards and ends.

    Args:
        place: name of the episode in error messages.
        arrays: the arrays of the episode.
        num_frames: number of frames, to be compared with the number of rows.
        selection: whether to include the actions, and which rewards and ends not to read.

    Raises:
        UserError: an array is missing, or does not have one number (or D finite numbers of an action) in each row.
    """
    where = str(place)
    columns = _actions(where, arrays, num_frames) if selection.actions else {}
    rows = len(next(iter(columns.values()))) if columns else None
    ignored = set()
    for part in (*EVENTS, "done"):
        name = _find(part, where, arrays)
        if name is None:
            continue
        if column(part) in selection.ignore:
            ignored.add(column(part))
            continue
        shape = tuple(arrays[name].shape)
        if rows is None:
            _check_length(where, name, shape, num_frames)
            rows = shape[0] if shape else 0
        if shape not in ((rows,), (rows, 1)):
            raise UserError(f"{where}: {name} must be {rows} finite numbers, got {shape}")
        columns[part] = _finite(where, name, arrays, f"{rows} finite numbers").reshape(-1)
    split_done(columns, where)
    return Table(place, columns, ignored=ignored)


def _actions(where: str, arrays: Arrays, num_frames: int) -> dict[str, np.ndarray]:
    """Return the columns of the actions."""
    name = _find("action", where, arrays)
    if name is None:
        raise UserError(
            f"{where} has no array called {' or '.join(ALIASES['action'])}; it has {_list(arrays)}"
        )
    shape = tuple(arrays[name].shape)
    _check_length(where, name, shape, num_frames)
    if len(shape) not in (1, 2):
        raise UserError(f"{where}: {name} must be finite numbers (T,) or (T, D), got {shape}")
    if len(shape) == 2 and shape[1] > MAX_PARTS:
        raise UserError(f"{where}: {name} has {shape[1]:,} numbers per action; it may have {MAX_PARTS:,}")
    action = _finite(where, name, arrays, "finite numbers (T,) or (T, D)")
    if not action.size:
        raise UserError(f"{where}: {name} is empty; give an episode at least one action, or remove it")
    if action.ndim == 1:
        return {"action": action}
    return {f"action_{i}": action[:, i] for i in range(action.shape[1])}


def _finite(where: str, name: str, arrays: Arrays, wanted: str) -> np.ndarray:
    """Read an array of finite numbers as float64."""
    values = np.asarray(arrays[name][()])
    if values.dtype.kind not in "biuf":
        held = "texts" if values.dtype.kind in "US" else values.dtype
        raise UserError(f"{where}: {name} must be {wanted}, but it holds {held}; correct the file")
    if not np.isfinite(values).all():
        raise UserError(f"{where}: {name} must be {wanted}, but it holds NaN or infinity; correct the file")
    return values.astype(np.float64)


def _check_length(where: str, name: str, shape: tuple[int, ...], num_frames: int) -> None:
    """Compare an array's length with the frames before it is read: its header may claim more than fits in memory."""
    if shape and shape[0] not in (num_frames, num_frames - 1):
        raise UserError(
            f"{where} has {num_frames} frames, but {name} has {shape[0]} rows; give a row for every frame, or for all "
            "but the last"
        )


def _find(part: str, where: str, arrays: Arrays) -> str | None:
    """Return the name of the array that holds ``part``, such as the reward; None if there is none."""
    found = [name for name in arrays if meaning(name, {part: ALIASES[part]}) == part]
    if len(found) > 1:
        raise UserError(
            f"{where} has several arrays for the {part}: {', '.join(found)}; keep only one of them"
        )
    return found[0] if found else None


def _next_of(name: str, arrays: Arrays) -> str | None:
    """Return the array with the next frame of each frame in ``name``, as robomimic writes it; None if absent."""
    _, slash, rest = name.partition("/")
    found = [f"{other}{slash}{rest}" for other in ALIASES["next_obs"]]
    return next((n for n in found if n in arrays and arrays[n].shape == arrays[name].shape), None)


def _frames(opened: Opener, name: str, final: str | None, note: Note) -> Iterator[Frame]:
    """Yield the frames one by one, and then the last frame of the array ``final``."""
    with opened() as arrays:
        first = arrays[name].shape[3] != 3  # whether channels come first
        number = 0
        for number, frame in enumerate(map(np.asarray, arrays[name])):
            yield Frame(number, None, frame.transpose(1, 2, 0) if first else frame)
        if final is not None:
            frame = np.asarray(arrays[final][-1])
            yield Frame(number + 1, None, frame.transpose(1, 2, 0) if first else frame)


def refuse_table(path: Path, actions: Path | None) -> None:
    """Raise UserError if a table of actions is given for a file that holds its own actions."""
    if actions is not None:
        raise UserError(f"{path} holds its own actions; leave out `actions`")
