"""Importing: from recordings to a store, in one piece or not at all."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from adamas.core.actions import ActionSpec
from adamas.core.config import to_dict
from adamas.core.errors import UserError
from adamas.core.files import sync, write_file
from adamas.core.pixels import shrink
from adamas.data.importing.actions import describe, encode
from adamas.data.importing.arrays import hdf5, npz
from adamas.data.importing.frames import IMAGES, VIDEOS, images, videos
from adamas.data.importing.minari import minari
from adamas.data.importing.source import EVENTS, Source
from adamas.data.index import INDEX, CannotWriteError, cannot_write
from adamas.data.store import NEW, EpisodeStore

READERS: Mapping[Callable[[Path, Path | None], list[Source]], tuple[str, ...]] = {
    videos: VIDEOS,
    npz: (".npz",),
    minari: (".hdf5", ".arrow", ".parquet"),
    hdf5: (".hdf5", ".h5"),
    images: IMAGES,
}
"""What reads files with which endings, or folders of them."""
PLAN, STORE = "import.json", "store"  # in the folder that gathers


@dataclass(frozen=True)
class ImportOptions:
    """How recordings become episodes."""

    size: tuple[int, int] | None = None
    """Height and width that frames are shrunk to, by the mean over what a new pixel covers. None: as they are."""
    every: int = 1
    """Keep every so manieth frame: the action is the one taken in it, rewards in between are added up."""
    choices: tuple[str, ...] = ()
    """Columns that are choices among several things."""
    buttons: tuple[str, ...] = ()
    """Columns that are 1 while a button is pressed, else 0."""
    axes: tuple[str, ...] = ()
    """Columns that say how far a lever is moved."""
    ignore: tuple[str, ...] = ()
    """Columns to leave out."""

    def __post_init__(self) -> None:
        if self.every < 1 or (self.size is not None and min(self.size) < 1):
            raise UserError(f"size and every must be at least 1, got {self.size} and {self.every}")


def import_recordings(
    path: Path,
    out: Path,
    actions: Path | None,
    options: ImportOptions,
    told: Callable[[int, int, str], None] = lambda done, count, name: None,
) -> EpisodeStore:
    """Make a store of the recordings in ``path``.

    They are gathered in a folder beside ``out``, which gets its name at the end. What cannot be imported leaves nothing
    behind. An import that was interrupted, or that a full disk or a file that cannot be read has stopped, keeps the
    episodes that are finished, and goes on when it is started again.

    Args:
        path: a file or folder, see :data:`READERS`.
        out: the new store's folder; must not exist yet.
        actions: the table of a video, or a folder of tables.
        options: how.
        told: called before each episode with how many are done, how many there are, and the next one's name.

    Raises:
        UserError: something about the recordings, in one line.
    """
    staging = out.with_name(out.name + ".importing")
    if out.exists():
        raise UserError(f"{out} exists; choose another --out, or remove it")
    sources = find_sources(path, actions)
    tables = [source.table for source in sources]
    said = (options.choices, options.buttons, options.axes, options.ignore)
    known = None if any(said) else sources[0].action_spec
    spec = known or describe(tables, *said)
    store = _resumed(staging, _plan(sources, spec, options))
    done = 0 if store is None else store.num_episodes
    try:
        for i, source in enumerate(sources[done:], start=done):
            told(i, len(sources), str(source.path))
            steps = _steps(source, spec, options)
            first = next(steps)
            if store is None:
                store = EpisodeStore.create(staging / STORE, first.frame.shape, spec)
            _store(store, source, chain([first], steps))
            store.commit()
            done = i + 1
    except CannotWriteError as error:
        raise UserError(f"{error}{_kept(staging, done)}") from error
    except UserError:
        _discard(staging)
        raise
    except OSError as error:
        problem = f"{source.path} cannot be read to its end ({error}); restore it"
        raise UserError(f"{problem}{_kept(staging, done)}") from error
    return _finished(staging, out)


def find_sources(path: Path, actions: Path | None) -> list[Source]:
    """The episodes in a file or folder.

    Raises:
        UserError: it does not exist, or nothing in it can be imported.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist; check the path")
    endings = {p.suffix.lower() for p in ([path] if path.is_file() else path.rglob("*"))}
    for reader, suffixes in READERS.items():
        if endings & set(suffixes) and (sources := reader(path, actions)):
            return sources
    known = ", ".join(dict.fromkeys(suffix for suffixes in READERS.values() for suffix in suffixes))
    raise UserError(f"nothing in {path} can be imported; give a file or a folder of {known}")


class Step(NamedTuple):
    """A frame, (3, H, W) uint8, the action taken in it and what came of that; the last frame has no action."""

    frame: np.ndarray
    action: np.ndarray | None
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False


def _steps(source: Source, spec: ActionSpec, options: ImportOptions) -> Iterator[Step]:
    """What an episode consists of, frame by frame."""
    table, actions = source.table, encode(source.table, spec)
    times = table.columns.get("time")
    events = [table.columns.get(name, np.zeros(len(table))) for name in EVENTS]
    if any(x.dtype.kind == "U" for x in (*events, *([] if times is None else [times]))):
        raise UserError(f"{table.path}: time, {', '.join(EVENTS)} must be numbers")
    if times is not None and ((np.diff(times) < 0).any() or times[0] < 0):
        raise UserError(f"{table.path}: time must be seconds from the video's start, and never go back")
    shape: tuple[int, ...] = ()
    count, held, row = 0, np.empty(0), 0  # frames seen; the newest that is kept, and its row of the table
    for count, (time, frame) in enumerate(source.frames(), start=1):
        if frame.shape != (shape := shape or frame.shape):
            raise UserError(
                f"{source.path}: frame {count} is {frame.shape[:2]}, the first {shape[:2]}; make all alike"
            )
        if (count - 1) % options.every:
            continue
        new = count - 1 if times is None else int(np.searchsorted(times, time, side="right")) - 1
        if new < 0:
            raise UserError(
                f"{table.path}: no row holds yet when frame {count} is shown, at {time:g} s; begin at 0"
            )
        if count > 1 and row < len(actions):  # too few rows: said when all frames are counted
            reward, terminated, truncated = (x[row : max(new, row + 1)] for x in events)
            yield Step(held, actions[row], float(reward.sum()), bool(terminated.any()), bool(truncated.any()))
        held, row = _small(frame, options.size), new
    if count <= options.every:
        raise UserError(f"{source.path} has {count} frames; an episode needs at least two that are kept")
    if times is None and count not in (len(table), len(table) + 1):
        raise UserError(
            f"{source.path} has {count} frames, but {table.path} has {len(table)} rows; give a row for every frame, or "
            "for every frame but the last, or a column called time"
        )
    yield Step(held, None)


def _small(frame: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    """(H, W, 3) to (3, H', W')."""
    if size is None:
        return np.ascontiguousarray(frame.transpose(2, 0, 1))
    height, width = size
    if height > frame.shape[0] or width > frame.shape[1]:
        raise UserError(f"size {height}x{width} is larger than the frames, {frame.shape[0]}x{frame.shape[1]}")
    return shrink(np.array(frame)[None], height, width)[0]  # a copy, that may be written to


def _store(store: EpisodeStore, source: Source, steps: Iterator[Step]) -> None:
    """Add an episode to the store. One that nothing ended is truncated."""
    number = np.array([NEW])
    before: Step | None = None
    for step in steps:
        if step.frame.shape != store.obs_shape:
            raise UserError(
                f"{source.path} has frames of {step.frame.shape[1:]}, those before {store.obs_shape[1:]}; give --size"
            )
        if before is not None:
            ends, last = before.terminated or before.truncated, step.action is None
            if ends and not last:
                raise UserError(
                    f"{source.table.path}: the episode goes on after its end; give a recording for each one"
                )
            number = store.append(
                number,
                before.frame[None],
                np.asarray(before.action)[None],
                np.array([before.reward]),
                np.array([before.terminated]),
                np.array([before.truncated or (last and not before.terminated)]),
            )
        before = step
    assert before is not None
    store.append_final(number, before.frame[None])


def _plan(sources: Sequence[Source], spec: ActionSpec, options: ImportOptions) -> dict[str, Any]:
    """What is imported and how: an interrupted import may go on if nothing of it has changed."""
    files = [(str(s.path.absolute()), len(s.table), str(s.table.path)) for s in sources]
    return json.loads(json.dumps({"files": files, "actions": to_dict(spec), "options": to_dict(options)}))


def _resumed(staging: Path, plan: dict[str, Any]) -> EpisodeStore | None:
    """The store of an import that was interrupted; None if this one begins."""
    file, store = staging / PLAN, staging / STORE
    try:
        if (store / INDEX).is_file() and file.is_file():
            if json.loads(file.read_text()) != plan:
                raise UserError(
                    f"{staging} holds another import that was interrupted; finish that, or remove the folder"
                )
            return EpisodeStore.open(store)
        if store.exists() and not file.exists():  # the plan is there before the store, and goes after it
            raise UserError(
                f"{staging} is no import that was interrupted; rename it, or choose another --out"
            )
        shutil.rmtree(store, ignore_errors=True)  # nothing is committed
        staging.mkdir(parents=True, exist_ok=True)
        write_file(file, json.dumps(plan))
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot write {file} ({error}); choose another --out, or remove the folder"
        ) from error
    return None


def _finished(staging: Path, out: Path) -> EpisodeStore:
    """Give the store its name."""
    try:
        (staging / STORE).rename(out)
        sync(out.parent)
    except OSError as error:
        raise cannot_write(out, error) from error
    _discard(staging)
    return EpisodeStore.open(out)


def _kept(staging: Path, done: int) -> str:
    """What to add to an error that does not come from the recordings: the finished episodes stay, if there are any."""
    if not done:
        _discard(staging)
        return ""
    return f"; {done} finished episodes are kept in {staging}, and the same command goes on with the rest"


def _discard(staging: Path) -> None:
    """Remove what was gathered, in an order in which a kill leaves nothing that looks like more than it is."""
    with contextlib.suppress(OSError):
        (staging / STORE / INDEX).unlink()
    shutil.rmtree(staging / STORE, ignore_errors=True)
    shutil.rmtree(staging, ignore_errors=True)
