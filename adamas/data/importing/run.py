"""Import recordings into a store, completely or not at all."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TypeAlias

import numpy as np

from adamas.core.actions import ActionSpec
from adamas.core.checks import check_range
from adamas.core.errors import UserError
from adamas.core.files import move_into_place, temporary_path, write_file
from adamas.core.json_data import from_json
from adamas.data.importing.actions import describe, steady
from adamas.data.importing.find import Finder
from adamas.data.importing.names import column
from adamas.data.importing.source import STATE, CannotReadError, Note, Selection, Source
from adamas.data.importing.steps import Step, steps
from adamas.data.index import INDEX, CannotWriteError, cannot_write
from adamas.data.store import NEW, EpisodeStore

PLAN, STORE = "import.json", "store"  # names in the staging folder


@dataclass(frozen=True)
class ImportOptions:
    """How recordings become episodes."""

    size: tuple[int, int] | None = None
    """Height and width in pixels to which frames are shrunk, by averaging. None: frames keep their size."""
    every: int = 1
    """Keep every n-th frame, with the action taken in it, and add up the rewards in between. 1: keep all frames."""
    choices: tuple[str, ...] = ()
    """Columns that are choices among several options."""
    buttons: tuple[str, ...] = ()
    """Columns that are 1 while a button is pressed, and else 0."""
    axes: tuple[str, ...] = ()
    """Columns that are continuous, such as the position of a lever."""
    ignore: tuple[str, ...] = ()
    """Columns that are not imported."""
    frames: str | None = None
    """The array that holds the frames in an HDF5, NPZ or Minari file: its path, or a part of it such as "front". None:
    there is only one such array."""
    without_actions: bool = False
    """Import no actions. Recordings then need no tables, but rewards and ends are still read from tables."""

    def __post_init__(self) -> None:
        check_range("every", self.every, least=1)
        for side in self.size or ():
            check_range("size", side, least=1)


def import_recordings(
    path: Path,
    out: Path,
    actions: Path | None,
    options: ImportOptions,
    on_progress: Callable[[int, int, str], None] = lambda done, count, name: None,
    note: Note = lambda line: None,
) -> EpisodeStore:
    """Import the recordings in ``path`` into a new store.

    The store is written to a staging folder beside ``out``, which is renamed at the end. If a recording is not valid,
    the staging folder is removed. If the import is interrupted, the disk is full, or a file cannot be read, the
    finished episodes stay there, and the same call continues with the next episode.

    Args:
        path: a file or folder, see :class:`~adamas.data.importing.find.Finder`.
        out: the new store's folder; must not exist yet.
        actions: the table of a video, or a folder of tables. None: each table is beside its recording.
        options: how frames and columns are converted.
        on_progress: called before each episode with the number of finished episodes, the number of all episodes, and
            the name of the next one.
        note: called with lines about what was inferred, repaired or left out.

    Raises:
        UserError: a recording cannot be imported; the line names the file, and the row if there is one.
    """
    if out.exists():
        raise UserError(f"{out} exists; choose another `out`, or remove it")
    selection = Selection(options.frames, not options.without_actions, set(map(column, options.ignore)))
    sources = Finder(note=note, actions=actions, selection=selection).find(path)
    spec = _action_spec(sources, options, note)
    staging = out.with_name(out.name + ".importing")
    store = _resumed(staging, ImportPlan.of(sources, spec, options))
    done = 0 if store is None else store.num_episodes
    try:
        for i, source in enumerate(sources[done:], start=done):
            on_progress(i, len(sources), str(source.path))
            episode = steps(
                source, spec, note, options.size, options.every, tuple(map(column, options.ignore))
            )
            first = next(episode)
            if store is None:
                store = EpisodeStore.create(staging / STORE, first.frame.shape, spec)
            _store(store, source, chain([first], episode))
            store.commit()
            done = i + 1
    except (CannotWriteError, CannotReadError) as error:
        raise UserError(f"{error}{_finished_episodes(staging, done)}") from error
    except UserError:
        _discard(staging)
        raise
    except OSError as error:
        problem = f"{source.path} cannot be read to its end ({error}); restore it"
        raise UserError(f"{problem}{_finished_episodes(staging, done)}") from error
    return _finished(staging, out)


def _action_spec(sources: Sequence[Source], options: ImportOptions, note: Note) -> ActionSpec:
    """Return what the actions are in all recordings together."""
    if options.without_actions:
        return ActionSpec.nothing()
    named = (options.choices, options.buttons, options.axes, options.ignore)
    known = sources[0].action_spec
    if known is not None and not any(named) and all(source.action_spec == known for source in sources):
        return known
    choices, buttons, axes, ignore = (tuple(map(column, names)) for names in named)
    tables = [source.table for source in sources]
    spec = describe(tables, choices, buttons, axes, ignore)
    if state := [
        name for name, kind in tables[0].kinds.items() if kind == STATE and name not in spec.entries
    ]:
        note(
            f"left out, since they seem to be the game's state: {', '.join(state)}; keep them with `axes` or `buttons`"
        )
    inferred = [name for name in spec.entries if name not in ("action", *choices, *buttons, *axes)]
    for name in steady(tables, inferred):
        note(
            f"{name} grows in every row like a counter or a clock; if it is not part of the action, leave it out with "
            f"`ignore` {name}"
        )
    return spec


def _store(store: EpisodeStore, source: Source, steps: Iterator[Step]) -> None:
    """Append an episode to the store. An episode without an end is truncated."""
    number = np.array([NEW])
    before: Step | None = None
    for step in steps:
        if step.frame.shape != store.obs_shape:
            raise UserError(
                f"{source.path} has frames of {step.frame.shape[1:]}, earlier recordings {store.obs_shape[1:]}; "
                "choose one size with `size`"
            )
        if before is not None:
            ends, last = before.terminated or before.truncated, step.action is None
            if ends and not last:
                raise UserError(
                    f"{source.table.path}: the episode continues after its end; give each episode a recording"
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


Stamp: TypeAlias = tuple[int, int]
"""The size of a file in bytes, and the time of its last modification in nanoseconds. Of a folder, the total size of its
files, and the newest of their times."""


@dataclass(frozen=True)
class ImportPlan:
    """What is imported and how. An interrupted import continues only if this has not changed.

    Attributes:
        files: path of each recording and of its table.
        stamps: of each recording, the number of rows in its table, the stamp of the file or folder that holds it, and
            that of its table; None for a table that is not a file of its own.
        actions: what the actions are.
        options: how recordings become episodes.
    """

    files: list[tuple[str, str]]
    stamps: list[tuple[int, Stamp | None, Stamp | None]]
    actions: ActionSpec
    options: ImportOptions

    @staticmethod
    def of(sources: Sequence[Source], spec: ActionSpec, options: ImportOptions) -> ImportPlan:
        """The plan to import ``sources``, as the files are now."""
        files = [(str(s.path.absolute()), str(s.table.path)) for s in sources]
        stamps = [(len(s.table), _stamp(s.origin or s.path), _stamp(s.table.path)) for s in sources]
        return ImportPlan(files, stamps, spec, options)


def _stamp(path: Path) -> Stamp | None:
    """Return the stamp of a file or folder; None if it does not exist."""
    try:
        files = [file for file in path.iterdir() if file.is_file()] if path.is_dir() else [path]
        states = [file.stat() for file in files]
    except OSError:
        return None
    return sum(s.st_size for s in states), max((s.st_mtime_ns for s in states), default=0)


def _resumed(staging: Path, plan: ImportPlan) -> EpisodeStore | None:
    """Return the store of an interrupted import; None if this import has just begun.

    Raises:
        UserError: the staging folder holds something else, or cannot be written.
    """
    file, store = staging / PLAN, staging / STORE
    try:
        names = {path.name for path in staging.iterdir()} if staging.exists() else set()
        # The plan is written before the store, and removed after it.
        if not names <= {PLAN, STORE, temporary_path(file).name} or (STORE in names and PLAN not in names):
            raise UserError(f"{staging} is not an interrupted import; rename it, or choose another `out`")
        finished = _continued(staging, plan) if (store / INDEX).is_file() else None
        if finished is None:
            shutil.rmtree(store, ignore_errors=True)  # it holds no committed rows
            staging.mkdir(parents=True, exist_ok=True)
        write_file(file, json.dumps(asdict(plan)))
    except OSError as error:
        raise UserError(
            f"cannot write {file} ({error}); choose another `out`, or remove the folder"
        ) from error
    return finished


def _continued(staging: Path, plan: ImportPlan) -> EpisodeStore:
    """Return the store of an interrupted import.

    Raises:
        UserError: its plan or its store is damaged, the plan was another one, or a recording has changed since.
    """
    try:
        before = from_json(ImportPlan, json.loads((staging / PLAN).read_text()))
        finished = EpisodeStore.open(staging / STORE)
    except (OSError, ValueError, LookupError, TypeError, UserError) as error:
        what = f"{error}".partition(";")[0] if isinstance(error, UserError) else f"{PLAN}: {error}"
        raise UserError(
            f"the import in {staging} cannot be continued ({what}); remove the folder to start again"
        ) from error
    if replace(before, stamps=[]) != replace(plan, stamps=[]):
        raise UserError(f"{staging} holds another interrupted import; finish that one, or remove the folder")
    done = finished.num_episodes
    if before.stamps[:done] != plan.stamps[:done]:
        raise UserError(
            f"recordings have changed since they were imported to {staging}; remove the folder to start again"
        )
    return finished


def _finished(staging: Path, out: Path) -> EpisodeStore:
    """Move the finished store out of the staging folder, and open it."""
    try:
        move_into_place(staging / STORE, out)
    except OSError as error:
        raise cannot_write(out, error) from error
    _discard(staging)
    return EpisodeStore.open(out)


def _finished_episodes(staging: Path, done: int) -> str:
    """Return the end of an error's line that says where the finished episodes are; "" if there are none."""
    if not done:
        _discard(staging)
        return ""
    episodes = "1 finished episode is" if done == 1 else f"{done} finished episodes are"
    return f"; {episodes} kept in {staging}, and the same command continues with the rest"


def _discard(staging: Path) -> None:
    """Remove what the import wrote to the staging folder, and the folder if nothing else is in it.

    The index goes first, so that a kill never leaves a store with missing files. The plan goes last.
    """
    with contextlib.suppress(OSError):
        (staging / STORE / INDEX).unlink()
    shutil.rmtree(staging / STORE, ignore_errors=True)
    with contextlib.suppress(OSError):
        temporary_path(staging / PLAN).unlink(missing_ok=True)
        (staging / PLAN).unlink(missing_ok=True)
        staging.rmdir()
