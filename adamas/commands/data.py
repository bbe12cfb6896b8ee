"""``adamas data``: recordings, made or imported, looked at, checked and split."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from PIL import Image

from adamas.commands.common import check_seed
from adamas.commands.record import record
from adamas.core.arguments import parse
from adamas.core.errors import UserError, nearest
from adamas.data.importing.run import ImportOptions, import_recordings
from adamas.data.inspect import check, contact_sheet, split, summary
from adamas.data.store import EpisodeStore


@dataclass(frozen=True)
class Import:
    """Make a dataset of recordings."""

    out: Path
    """Folder of the dataset; must not exist yet."""
    actions: Path | None = None
    """Table of a video's or a folder of images' actions, or a folder of tables. None: beside them, by their name."""
    options: Annotated[ImportOptions, tyro.conf.arg(name="")] = field(default_factory=ImportOptions)


@dataclass(frozen=True)
class Inspect:
    """Show what is in a dataset."""

    sheet: Path | None = None
    """Picture (.png) of frames from all over the dataset."""


@dataclass(frozen=True)
class Validate:
    """Check every row of a dataset."""


@dataclass(frozen=True)
class Split:
    """Deal a dataset's episodes out to train and test."""

    out: Path
    """Folder for train/ and test/; must not exist yet."""
    test: float = 0.1
    """Share of the episodes to hold out; at least one."""
    seed: int = 0

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if not 0 < self.test < 1:
            raise UserError(f"test is {self.test}; it must lie between 0 and 1")


def data(arguments: Sequence[str]) -> None:
    """Run one of the commands below."""
    commands: Mapping[str, Callable[[Path, Sequence[str]], None]] = {
        "import": _import,
        "record": record,
        "inspect": _inspect,
        "validate": _validate,
        "split": _split,
    }
    word = arguments[0] if arguments else ""
    if word not in commands:
        raise UserError(f"data needs a command: {nearest(word, commands)}")
    if len(arguments) < 2 or arguments[1].startswith("-"):
        raise UserError(f"data {word} needs a file or folder before any option")
    commands[word](Path(arguments[1]), arguments[2:])


def _import(path: Path, rest: Sequence[str]) -> None:
    options = parse(Import, rest, f"data import {path}")

    def tell(done: int, count: int, name: str) -> None:
        print(f"episode {done + 1}/{count}: {name}", flush=True)

    try:
        store = import_recordings(path, options.out, options.actions, options.options, tell)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on with the rest", file=sys.stderr)
        raise
    print("\n".join(summary(store)))


def _inspect(path: Path, rest: Sequence[str]) -> None:
    options = parse(Inspect, rest, f"data inspect {path}")
    store = EpisodeStore.open(path)
    print("\n".join(summary(store)))
    if options.sheet is not None:
        if options.sheet.exists():
            raise UserError(f"{options.sheet} exists; choose another --sheet")
        try:
            Image.fromarray(contact_sheet(store)).save(options.sheet)
        except (OSError, ValueError) as error:
            raise UserError(
                f"cannot write {options.sheet} ({error}); choose a .png that can be written"
            ) from error
        print(f"  {options.sheet}")


def _validate(path: Path, rest: Sequence[str]) -> None:
    parse(Validate, rest, f"data validate {path}")
    store = EpisodeStore.open(path)
    check(store)
    print(f"{path}: {store.num_episodes:,} episodes, {store.num_rows:,} frames: no fault found")


def _split(path: Path, rest: Sequence[str]) -> None:
    options = parse(Split, rest, f"data split {path}")
    for name, store in split(
        EpisodeStore.open(path), options.out, options.test, np.random.default_rng(options.seed)
    ):
        print(f"{name}: {store.num_episodes:,} episodes, {store.num_transitions:,} steps: {store.folder}")
