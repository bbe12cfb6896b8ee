"""Read Minari datasets whose observations are, or contain, images."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial, reduce
from operator import getitem
from pathlib import Path
from typing import Any

import numpy as np

from adamas.core.actions import ActionSpec, Axis, Choice
from adamas.core.errors import UserError, not_installed
from adamas.data.importing.actions import MAX_OPTIONS, encode
from adamas.data.importing.arrays import refuse_table, table_of
from adamas.data.importing.hdf5 import opened_file, own_arrays
from adamas.data.importing.pictures import rgb
from adamas.data.importing.source import Frame, Note, Selection, Source

MAIN, METADATA = "main_data.hdf5", "metadata.json"
IN_FOLDERS = ("arrow", "parquet")  # formats with one folder for each episode
SPACES = ("Discrete", "MultiDiscrete", "MultiBinary", "Box")  # kinds of actions
JPEG = bytes([0xFF, 0xD8])  # first bytes of a JPEG file

Reader = Callable[[], AbstractContextManager[Any]]
"""Opens an episode: a mapping of NumPy or h5py arrays, nested like the episode's observations."""


def minari(data: Path, actions: Path | None, selection: Selection) -> list[Source]:
    """Return the episodes of a dataset; none if ``data`` is not the folder data/ of a Minari dataset.

    Images may be arrays, (T + 1, H, W, 3) uint8, or JPEG files. The dataset's description says what the actions are.

    Args:
        data: a folder.
        actions: a table given by the user; an error, since a dataset holds its own actions.
        selection: what to import.

    Raises:
        UserError: the dataset is damaged, its observations do not contain exactly one image, or its actions are of a
            kind that cannot be imported.
    """
    written = (data / METADATA).is_file()
    if not written or not ((data / MAIN).is_file() or any(data.glob("*/part-0.*"))):
        return []
    refuse_table(data, actions)
    try:
        about = json.loads((data / METADATA).read_text())
        space = json.loads(about["action_space"])
        if selection.actions and space["type"] not in SPACES:
            raise UserError(
                f"{data}: the action space is {space['type']}, as {METADATA} says; it must be one of "
                f"{', '.join(SPACES)}; store other actions, or import `without_actions`"
            )
        return [
            replace(_episode(place, reader, space, selection), origin=origin)
            for place, origin, reader in _readers(data, about)
        ]
    except ModuleNotFoundError as error:
        package = ("pyarrow", "parquet") if about.get("data_format") in IN_FOLDERS else ("h5py", "data")
        raise not_installed(*package) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{data} cannot be read as a Minari dataset ({error}); restore it") from error


def _folders(data: Path) -> list[Path]:
    """Return the folders of the episodes, in order."""
    return sorted((p for p in data.iterdir() if p.is_dir() and p.name.isdigit()), key=lambda p: int(p.name))


def _readers(data: Path, about: Mapping[str, Any]) -> Iterator[tuple[Path, Path, Reader]]:
    """Yield the path of every episode, the file or folder that holds it, and a function that opens it."""
    kind = about.get("data_format", "hdf5")
    if kind in IN_FOLDERS:
        space = json.loads(about["observation_space"])
        for folder in _folders(data):
            yield folder, folder, partial(_read_arrow, folder, kind, space)
        return
    with opened_file(data / MAIN) as content:
        names = sorted(content, key=lambda name: int(name.removeprefix("episode_")))
    for name in names:
        yield Path(f"{data / MAIN}:{name}"), data / MAIN, partial(_read_hdf5, data / MAIN, name)


@contextmanager
def _read_hdf5(file: Path, name: str) -> Iterator[Any]:
    with opened_file(file) as content:
        own_arrays(file, content[name], f"{name}/")
        yield content[name]


@contextmanager
def _read_arrow(folder: Path, kind: str, space: Mapping[str, Any]) -> Iterator[Any]:
    from pyarrow.dataset import dataset

    table = dataset([str(file) for file in sorted(folder.glob(f"*.{kind}"))], format=kind).to_table()
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    done = {name: _arrays(columns[name]) for name in ("actions", "rewards", "terminations", "truncations")}
    # There is a row for every frame, but no action was taken in the last one.
    steps = {name: values[:-1] for name, values in done.items()}
    yield {**steps, "observations": _arrays(columns["observations"], space)}


def _arrays(column: Any, space: Mapping[str, Any] | None = None) -> Any:
    """Convert a column to NumPy, with the same nesting. ``space`` gives the shape of rows that have several axes."""
    if hasattr(column.type, "list_size"):
        shape = (space or {}).get("shape", [column.type.list_size])
        return column.flatten().to_numpy(zero_copy_only=False).reshape(-1, *shape)
    if str(column.type) == "binary":
        files = np.empty(len(column), object)
        files[:] = [np.frombuffer(row.as_py(), np.uint8) for row in column]
        return files
    if not str(column.type).startswith("struct"):
        return column.to_numpy(zero_copy_only=False)
    parts = (space or {}).get("subspaces", {})
    spaces = parts if isinstance(parts, dict) else {str(i): part for i, part in enumerate(parts)}
    return {x.name: _arrays(column.field(i), spaces.get(x.name)) for i, x in enumerate(column.type)}


def _episode(place: Path, reader: Reader, space: Mapping[str, Any], selection: Selection) -> Source:
    key = selection.frames
    with reader() as content:
        found = list(_images(content["observations"], ("observations",)))
        if not found:
            raise UserError(
                f"{place}: no part of the observations is an image (uint8, RGB); record the dataset again with one"
            )
        images = [names for names in found if key is None or f"/{key.strip('/')}/" in f"/{'/'.join(names)}/"]
        if len(images) != 1:
            raise UserError(
                f"{place}: exactly one part of the observations must be an image (uint8, RGB), but there is "
                f"{', '.join(map('/'.join, images or found))}; choose one with `frames`"
            )
        table = table_of(place, content, len(reduce(getitem, images[0], content)), selection)
    names = [name for name in table.columns if name.startswith("action")]
    # The numbers of a choice may begin at another number than 0.
    start = np.broadcast_to(space.get("start", 0), len(names))
    moved = {name: table.columns[name] - first for name, first in zip(names, start, strict=True)}
    table = replace(table, columns={**table.columns, **moved})
    spec = _action_spec(place, space) if selection.actions else None
    if spec is not None and (problem := spec.problem(encode(table, spec))):
        raise UserError(f"{place}: {problem}, as {METADATA} says")
    return Source(place, table, partial(_frames, reader, images[0]), spec)


def _action_spec(place: Path, space: Mapping[str, Any]) -> ActionSpec | None:
    """Describe the actions of a Gymnasium space; None if they must be inferred from the recorded numbers."""
    largest = max(np.ravel(space.get("nvec", space.get("n", 0))).tolist(), default=0)
    if largest > MAX_OPTIONS:
        raise UserError(
            f"{place}: an action has {largest:,} options, as {METADATA} says; it may have {MAX_OPTIONS:,}"
        )
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


def _images(node: Any, names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the path of every image in an episode's observations."""
    if hasattr(node, "keys"):
        for key in node:
            yield from _images(node[key], (*names, key))
    elif (node.ndim == 4 and node.dtype == np.uint8 and node.shape[3] == 3) or _is_jpeg(node):
        yield names


def _is_jpeg(node: Any) -> bool:
    """Whether an array holds JPEG files: rows of bytes, which may have different lengths."""
    first = node[0] if node.ndim in (1, 2) and len(node) else None
    return isinstance(first, np.ndarray) and first.dtype == np.uint8 and first[:2].tobytes() == JPEG


def _frames(reader: Reader, image: tuple[str, ...], note: Note) -> Iterator[Frame]:
    with reader() as content:
        frames = reduce(getitem, image, content)
        for t in range(len(frames)):
            frame = np.asarray(frames[t])
            if frames.ndim < 4:
                frame = rgb(io.BytesIO(frame.tobytes()), f"{'/'.join(image)}, frame {t}")
            yield Frame(t, None, frame)
