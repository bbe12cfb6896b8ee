"""Importing: from recordings to a store, in one piece or not at all."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from adamas.core.actions import ActionSpec
from adamas.core.config import to_dict
from adamas.core.errors import UserError
from adamas.core.files import sync, write_file
from adamas.data.importing.actions import describe, steady
from adamas.data.importing.find import Finder
from adamas.data.importing.names import column
from adamas.data.importing.source import STATE, CannotReadError, Note, Source
from adamas.data.importing.steps import Step, steps
from adamas.data.index import INDEX, CannotWriteError, cannot_write
from adamas.data.store import NEW, EpisodeStore

PLAN, STORE = "import.json", "store"  # in the folder that gathers


@dataclass(frozen=True)
class ImportOptions:
    """How recordings become episodes."""

    size: tuple[int, int] | None = None
    """Height and width that frames are shrunk to, by the mean over what a new pixel covers. None: as they are."""
    every: int = 1
    """Keep one frame of so many, with the action taken in it. Rewards in between are added up."""
    choices: tuple[str, ...] = ()
    """Columns that are choices among several things."""
    buttons: tuple[str, ...] = ()
    """Columns that are 1 while a button is pressed, else 0."""
    axes: tuple[str, ...] = ()
    """Columns that say how far a lever is moved."""
    ignore: tuple[str, ...] = ()
    """Columns to leave out."""
    frames: str | None = None
    """Which array of an HDF5, NPZ or Minari file holds the frames: its path there, or a part of it such as "front"."""
    without_actions: bool = False
    """Leave out what was done. Recordings then need no table; one that is there still says rewards and ends."""

    def __post_init__(self) -> None:
        if self.every < 1 or (self.size is not None and min(self.size) < 1):
            raise UserError(f"size and every must be at least 1, got {self.size} and {self.every}")


def import_recordings(
    path: Path,
    out: Path,
    actions: Path | None,
    options: ImportOptions,
    told: Callable[[int, int, str], None] = lambda done, count, name: None,
    note: Note = lambda line: None,
) -> EpisodeStore:
    """Make a store of the recordings in ``path``.

    They are gathered in a folder beside ``out``, which gets its name at the end. What cannot be imported leaves nothing
    behind. An import that was interrupted, or that a full disk or a file that cannot be read has stopped, keeps the
    episodes that are finished, and goes on when it is started again.

    Args:
        path: a file or folder, see :class:`~adamas.data.importing.find.Finder`.
        out: the new store's folder; must not exist yet.
        actions: the table of a video, or a folder of tables.
        options: how.
        told: called before each episode with how many are done, how many there are, and the next one's name.
        note: called with lines that say what was understood, repaired or left out.

    Raises:
        UserError: something about the recordings, in one line.
    """
    if out.exists():
        raise UserError(f"{out} exists; choose another `out`, or remove it")
    sources = Finder(note, actions, options.frames, options.without_actions).find(path)
    spec = _action_spec(sources, options, note)
    staging = out.with_name(out.name + ".importing")
    store = _resumed(staging, _plan(sources, spec, options))
    done = 0 if store is None else store.num_episodes
    try:
        for i, source in enumerate(sources[done:], start=done):
            told(i, len(sources), str(source.path))
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
        raise UserError(f"{error}{_kept(staging, done)}") from error
    except UserError:
        _discard(staging)
        raise
    except OSError as error:
        problem = f"{source.path} cannot be read to its end ({error}); restore it"
        raise UserError(f"{problem}{_kept(staging, done)}") from error
    return _finished(staging, out)


def _action_spec(sources: Sequence[Source], options: ImportOptions, note: Note) -> ActionSpec:
    """What an action is in all recordings together."""
    if options.without_actions:
        return ActionSpec.nothing()
    said = (options.choices, options.buttons, options.axes, options.ignore)
    known = sources[0].action_spec
    if known is not None and not any(said) and all(source.action_spec == known for source in sources):
        return known
    choices, buttons, axes, ignore = (tuple(map(column, names)) for names in said)
    tables = [source.table for source in sources]
    spec = describe(tables, choices, buttons, axes, ignore)
    if state := [
        name for name, kind in tables[0].kinds.items() if kind == STATE and name not in spec.entries
    ]:
        note(
            f"taken for the game's state and left out: {', '.join(state)}; keep them with `axes` or `buttons`"
        )
    unsaid = [name for name in spec.entries if name not in ("action", *choices, *buttons, *axes)]
    for name in steady(tables, unsaid):
        note(
            f"{name} grows in every row like a counter or a clock; if it is no part of the action, `ignore` {name}"
        )
    return spec


def _store(store: EpisodeStore, source: Source, steps: Iterator[Step]) -> None:
    """Add an episode to the store. One that nothing ended is truncated."""
    number = np.array([NEW])
    before: Step | None = None
    for step in steps:
        if step.frame.shape != store.obs_shape:
            raise UserError(
                f"{source.path} has frames of {step.frame.shape[1:]}, those before {store.obs_shape[1:]}; give `size`"
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
    """What is imported and how: an interrupted import may go on if nothing has changed of what it has finished."""
    files = [(str(s.path.absolute()), str(s.table.path)) for s in sources]
    stamps = [(len(s.table), _stamp(s.path), _stamp(s.table.path)) for s in sources]
    plan = {"files": files, "stamps": stamps, "actions": to_dict(spec), "options": to_dict(options)}
    return json.loads(json.dumps(plan))


def _stamp(path: Path) -> tuple[int, int] | None:
    """Size and time of the last change of a file; None if the path is that of a group within a file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _resumed(staging: Path, plan: dict[str, Any]) -> EpisodeStore | None:
    """The store of an import that was interrupted; None if this one begins."""
    file, store = staging / PLAN, staging / STORE
    try:
        if (store / INDEX).is_file() and file.is_file():
            finished, before = EpisodeStore.open(store), json.loads(file.read_text())
            if {**before, "stamps": None} != {**plan, "stamps": None}:
                raise UserError(
                    f"{staging} holds another import that was interrupted; finish that, or remove the folder"
                )
            done = finished.num_episodes
            if before["stamps"][:done] != plan["stamps"][:done]:
                raise UserError(
                    f"recordings that are in {staging} already have changed since; remove the folder to begin again"
                )
            write_file(file, json.dumps(plan))
            return finished
        if store.exists() and not file.exists():  # the plan is there before the store, and goes after it
            raise UserError(
                f"{staging} is no import that was interrupted; rename it, or choose another `out`"
            )
        shutil.rmtree(store, ignore_errors=True)  # nothing is committed
        staging.mkdir(parents=True, exist_ok=True)
        write_file(file, json.dumps(plan))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(
            f"cannot write {file} ({error}); choose another `out`, or remove the folder"
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
    episodes = "1 finished episode is" if done == 1 else f"{done} finished episodes are"
    return f"; {episodes} kept in {staging}, and the same command goes on with the rest"


def _discard(staging: Path) -> None:
    """Remove what was gathered, in an order in which a kill leaves nothing that looks like more than it is."""
    with contextlib.suppress(OSError):
        (staging / STORE / INDEX).unlink()
    shutil.rmtree(staging / STORE, ignore_errors=True)
    shutil.rmtree(staging, ignore_errors=True)
