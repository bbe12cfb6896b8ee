"""Minari's datasets, where the agent saw images and they are kept as HDF5."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from adamas.core.actions import ActionSpec, Axis, Choice
from adamas.core.errors import UserError, require
from adamas.data.importing.actions import encode
from adamas.data.importing.arrays import columns_of, refuse_table
from adamas.data.importing.source import Source, Table

MAIN, METADATA = "main_data.hdf5", "metadata.json"
JPEG = bytes([0xFF, 0xD8])  # what such a file begins with


def minari(path: Path, actions: Path | None) -> list[Source]:
    """The episodes of a dataset, or of the folder data/ in it; none where there is no such thing.

    Images are had as they lie there, (T + 1, H, W, 3) uint8 or JPEG files; where an observation has several parts, one
    alone may be an image. What an action is, the dataset's description says.
    """
    data = next((folder for folder in (path, path / "data") if (folder / MAIN).is_file()), None)
    if data is None or not (data / METADATA).is_file():
        return []
    refuse_table(path, actions)
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise require("h5py", "data") from error
    try:
        space = json.loads(json.loads((data / METADATA).read_text())["action_space"])
        with h5py.File(data / MAIN) as content:
            names = sorted(content, key=lambda name: int(name.removeprefix("episode_")))
            return [_episode(data / MAIN, content[name], name, space) for name in names]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{data} is no dataset of Minari ({error}); restore it") from error


def _episode(file: Path, content: Any, name: str, space: Mapping[str, Any]) -> Source:
    path = Path(f"{file}:{name}")
    columns = columns_of(f"{file}, {name}", content)
    names = [column for column in columns if column.startswith("action")]
    start = np.broadcast_to(
        space.get("start", 0), len(names)
    )  # a choice's numbers may begin elsewhere than at 0
    columns |= {column: columns[column] - first for column, first in zip(names, start, strict=True)}
    spec, table = _action_spec(space), Table(path, columns)
    if spec is not None and (problem := spec.problem(encode(table, spec))):
        raise UserError(f"{path}: {problem}, as {METADATA} says")
    images = list(_images(content["observations"], "observations"))
    if len(images) != 1:
        raise UserError(
            f"{path}: there must be one part of the observations that is an image (uint8, RGB), not "
            f"{', '.join(images) or 'none'}"
        )
    return Source(path, table, partial(_frames, file, f"{name}/{images[0]}"), spec)


def _action_spec(space: Mapping[str, Any]) -> ActionSpec | None:
    """What an action is; None for a space that says nothing, which the recorded numbers then do."""
    if space["type"] == "Discrete":
        return ActionSpec((_choice(space["n"], "action"),))
    if space["type"] == "MultiDiscrete" and np.ndim(space["nvec"]) == 1:
        return ActionSpec(tuple(_choice(n, f"action_{i}") for i, n in enumerate(space["nvec"])))
    if space["type"] == "MultiBinary" and np.ndim(space["n"]) == 0:
        return ActionSpec(buttons=tuple(f"action_{i}" for i in range(space["n"])))
    if space["type"] == "Box" and len(space["shape"]) == 1:
        ends = list(zip(space["low"], space["high"], strict=True))
        if all(map(math.isfinite, (*space["low"], *space["high"]))):
            return ActionSpec(axes=tuple(Axis(f"action_{i}", *low_high) for i, low_high in enumerate(ends)))
    return None


def _choice(n: int, name: str) -> Choice:
    return Choice(tuple(map(str, range(n))), name)


def _images(node: Any, name: str) -> Iterator[str]:
    """The names of what is an image in an episode's observations."""
    if hasattr(node, "keys"):
        for key in node:
            yield from _images(node[key], f"{name}/{key}")
    elif (node.ndim == 4 and node.dtype == np.uint8 and node.shape[3] == 3) or _is_jpeg(node):
        yield name


def _is_jpeg(node: Any) -> bool:
    """It holds files: rows of bytes, of the same length or not."""
    first = node[0] if node.ndim in (1, 2) and len(node) else None
    return isinstance(first, np.ndarray) and first.dtype == np.uint8 and first[:2].tobytes() == JPEG


def _frames(file: Path, name: str) -> Iterator[tuple[float, np.ndarray]]:
    """The frames one by one, (H, W, 3)."""
    import h5py

    with h5py.File(file) as content:
        frames = content[name]
        for t in range(len(frames)):
            frame = np.asarray(frames[t])
            if frames.ndim < 4:
                frame = np.asarray(Image.open(io.BytesIO(frame.tobytes())).convert("RGB"))
            yield float(t), frame
