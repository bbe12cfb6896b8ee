"""Episodes as arrays, whatever file they lie in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from adamas.core.errors import UserError
from adamas.data.importing.names import ALIASES, meaning, split_done
from adamas.data.importing.source import EVENTS, Frame, Note, Source, Table

MAX_PARTS = 10_000
"""Numbers in an action."""

Arrays = Mapping[str, Any]
"""What is in a file by its path there (``obs/camera``): it has a shape and a dtype, and is read when it is indexed."""
Opener = Callable[[], AbstractContextManager[Arrays]]


def episode(place: Path, opened: Opener, arrays: Arrays, key: str | None, actions: bool) -> Source:
    """An episode of which the arrays are at hand.

    Args:
        place: what errors call it.
        opened: opens the file again, to read the frames.
        arrays: what is in it.
        key: which of several arrays the frames are: a part of its path.
        actions: False: what was done is left out, and need not be there.

    Raises:
        UserError: something is missing, or is not what its name says.
    """
    if "is_first" in arrays:
        raise UserError(
            f"{place} has an array is_first: in such files an action may stand beside the frame that it led to; move "
            "it to the frame in which it was taken, and leave is_first out"
        )
    name = frames_name(place, arrays, key)
    columns = columns_of(str(place), arrays, len(arrays[name]), actions)
    table = Table(place, columns)
    final = _next_of(name, arrays) if len(table) == len(arrays[name]) else None
    return Source(place, table, partial(_frames, opened, name, final))


def frames_name(place: Path, arrays: Arrays, key: str | None) -> str:
    """Which array the frames are.

    Raises:
        UserError: none, or one of several, and ``key`` does not say which.
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


def columns_of(
    where: str, arrays: Arrays, num_frames: int | None, actions: bool = True
) -> dict[str, np.ndarray]:
    """The columns of an episode's table: what was done, and what came of it.

    Args:
        where: what errors call the episode.
        arrays: what is in it.
        num_frames: how many frames it has; None: this is not checked here.
        actions: False: what was done is left out.
    """
    columns: dict[str, np.ndarray] = {}
    rows: int | None = None
    if actions:
        name = _find("action", where, arrays)
        if name is None:
            raise UserError(
                f"{where} has no array called {' or '.join(ALIASES['action'])}; it has {_list(arrays)}"
            )
        shape = tuple(arrays[name].shape)
        _check_length(where, name, shape, num_frames)
        if len(shape) == 2 and shape[1] > MAX_PARTS:
            raise UserError(f"{where}: {name} has {shape[1]:,} numbers an action; it may have {MAX_PARTS:,}")
        action = np.asarray(arrays[name][()])
        if action.dtype.kind not in "biuf" or action.ndim not in (1, 2) or not np.isfinite(action).all():
            raise UserError(
                f"{where}: {name} must be finite numbers (T,) or (T, K), got {action.dtype} {shape}"
            )
        action, rows = action.astype(np.float64), len(action)
        if action.ndim == 1:
            columns["action"] = action
        else:
            columns = {f"action_{i}": action[:, i] for i in range(action.shape[1])}
    for part in (*EVENTS, "done"):
        name = _find(part, where, arrays)
        if name is None:
            continue
        shape = tuple(arrays[name].shape)
        if rows is None:
            _check_length(where, name, shape, num_frames)
            rows = shape[0] if shape else 0
        if shape not in ((rows,), (rows, 1)):
            raise UserError(f"{where}: {name} must be {rows} finite numbers, got {shape}")
        column = np.asarray(arrays[name][()]).reshape(-1)
        if column.dtype.kind not in "biuf" or not np.isfinite(column).all():
            raise UserError(f"{where}: {name} must be {rows} finite numbers, got {column.dtype}")
        columns[part] = column.astype(np.float64)
    split_done(columns, where)
    return columns


def _check_length(where: str, name: str, shape: tuple[int, ...], num_frames: int | None) -> None:
    """Before it is read, since a file's header may promise more than there is memory."""
    if num_frames is not None and shape and shape[0] not in (num_frames, num_frames - 1):
        raise UserError(
            f"{where} has {num_frames} frames, but {name} has {shape[0]} rows; give a row for every frame, or for all "
            "but the last"
        )


def _find(part: str, where: str, arrays: Arrays) -> str | None:
    """What a part is called; None if it is not there."""
    found = [name for name in arrays if meaning(name, {part: ALIASES[part]}) == part]
    if len(found) > 1:
        raise UserError(
            f"{where} has several arrays for the {part}: {', '.join(found)}; leave all but one out"
        )
    return found[0] if found else None


def _next_of(name: str, arrays: Arrays) -> str | None:
    """The array of the frames that came after those of ``name``, as robomimic's files have it."""
    _, slash, rest = name.partition("/")
    found = [f"{other}{slash}{rest}" for other in ALIASES["next_obs"]]
    return next((n for n in found if n in arrays and arrays[n].shape == arrays[name].shape), None)


def _frames(opened: Opener, name: str, final: str | None, note: Note) -> Iterator[Frame]:
    """The frames one by one, and then the last one of ``final``."""
    with opened() as arrays:
        first = arrays[name].shape[3] != 3  # channels come first
        number = 0
        for number, frame in enumerate(map(np.asarray, arrays[name])):
            yield Frame(number, None, frame.transpose(1, 2, 0) if first else frame)
        if final is not None:
            frame = np.asarray(arrays[final][-1])
            yield Frame(number + 1, None, frame.transpose(1, 2, 0) if first else frame)


def refuse_table(path: Path, actions: Path | None) -> None:
    """Raise UserError if a table is given for what has its actions in itself."""
    if actions is not None:
        raise UserError(f"{path} holds its own actions; leave out `actions`")
