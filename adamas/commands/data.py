"""``adamas data``: recordings, made or imported, looked at, checked, split and packed."""

from __future__ import annotations

import sys
import time
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
from adamas.core.files import creating
from adamas.data.importing.run import ImportOptions, import_recordings
from adamas.data.index import INDEX
from adamas.data.inspect import check, contact_sheet, size, split, summary
from adamas.data.locations import Place, is_url, join, local, parse_place
from adamas.data.pack import is_packed, pack
from adamas.data.store import EpisodeStore

TELL_SECONDS = 10  # between two lines about a dataset that is being packed


@dataclass(frozen=True)
class Import:
    """Make a dataset of recordings."""

    out: str
    """Folder of the dataset; must not exist yet."""
    actions: Path | None = None
    """Table of a video or a folder of images, or a folder of tables. None: each lies beside its recording."""
    options: Annotated[ImportOptions, tyro.conf.arg(name="")] = field(default_factory=ImportOptions)


@dataclass(frozen=True)
class Inspect:
    """Show what is in a dataset."""

    sheet: Path | None = None
    """Picture (.png) of frames from all over the dataset."""


@dataclass(frozen=True)
class Validate:
    """Check every row of a dataset, and compare its files with their checksums."""


@dataclass(frozen=True)
class Split:
    """Deal a dataset's episodes out to train and test."""

    out: str
    """Folder for train/ and test/; must not exist yet."""
    test: float = 0.1
    """Share of the episodes to hold out; at least one."""
    seed: int = 0
    cut: int | None = None
    """Cut longer episodes into pieces of so many steps first, as where all is one long recording."""
    without_actions: bool = False
    """Leave out what was done, for a model to compare with one that knows (adamas fidelity --baseline)."""

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.cut is not None and self.cut < 1:
            raise UserError(f"cut is {self.cut}; it must be at least 1")
        if not 0 < self.test < 1:
            raise UserError(f"test is {self.test}; it must lie between 0 and 1")


@dataclass(frozen=True)
class Pack:
    """Compress a dataset, for good; or its parts, if it was split."""

    out: str
    """Folder or URL (s3://BUCKET/NAME); must not be a dataset yet."""


def data(arguments: Sequence[str]) -> None:
    """Run one of the commands below."""
    commands: Mapping[str, Callable[[Place, Sequence[str]], None]] = {
        "import": _import,
        "record": lambda place, rest: record(local(place), rest),
        "inspect": _inspect,
        "validate": _validate,
        "split": _split,
        "pack": _pack,
    }
    word = arguments[0] if arguments else ""
    if word not in commands:
        raise UserError(f"data needs a command: {nearest(word, commands)}")
    if len(arguments) < 2 or arguments[1].startswith("-"):
        raise UserError(f"data {word} needs a file or folder before any option")
    commands[word](parse_place(arguments[1]), arguments[2:])


def _import(path: Place, rest: Sequence[str]) -> None:
    options = parse(Import, rest, f"data import {path}")

    def tell(done: int, count: int, name: str) -> None:
        print(f"episode {done + 1}/{count}: {name}", flush=True)

    def note(line: str) -> None:
        print(f"note: {line}", file=sys.stderr, flush=True)

    place, out = local(path), local(options.out)
    try:
        store = import_recordings(place, out, options.actions, options.options, tell, note)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on with the rest", file=sys.stderr)
        raise
    print("\n".join(summary(store)))


def _inspect(path: Place, rest: Sequence[str]) -> None:
    options = parse(Inspect, rest, f"data inspect {path}")
    store = EpisodeStore.open(path)
    print("\n".join(summary(store)))
    if options.sheet is not None:
        try:
            with creating(options.sheet) as file:
                Image.fromarray(contact_sheet(store)).save(file)
        except FileExistsError as error:
            raise UserError(f"{options.sheet} exists; choose another --sheet") from error
        except (OSError, ValueError) as error:
            raise UserError(
                f"cannot write {options.sheet} ({error}); choose a .png that can be written"
            ) from error
        print(f"  {options.sheet}")


def _validate(path: Place, rest: Sequence[str]) -> None:
    parse(Validate, rest, f"data validate {path}")
    store = EpisodeStore.open(path)
    check(store)
    unknown = (
        ""
        if store.has_checksums
        else ", but it has no checksums, as an older adamas wrote it, and changed pixels cannot be noticed "
        "(adamas data split and pack make copies that have them)"
    )
    print(f"{path}: {store.num_episodes:,} episodes, {store.num_rows:,} frames: no fault found{unknown}")


def _split(path: Place, rest: Sequence[str]) -> None:
    options = parse(Split, rest, f"data split {path}")
    rng = np.random.default_rng(options.seed)
    parts = split(
        EpisodeStore.open(path),
        local(options.out),
        options.test,
        rng,
        options.cut,
        not options.without_actions,
    )
    for name, store in parts:
        print(f"{name}: {store.num_episodes:,} episodes, {store.num_transitions:,} steps: {store.folder}")


def _pack(path: Place, rest: Sequence[str]) -> None:
    out = parse_place(parse(Pack, rest, f"data pack {path}").out)
    parted = not is_url(path) and not (Path(path) / INDEX).is_file() and (Path(path) / "train").is_dir()
    for name in ("train", "test") if parted else ("",):
        place = join(out, name) if name else out
        store = EpisodeStore.open(join(path, name) if name else path)
        if parted and is_packed(store, place):  # by the same command, which was interrupted
            print(f"{place} is packed already")
            continue
        told = time.monotonic()
        for done in pack(store, place):
            if time.monotonic() - told > TELL_SECONDS:
                told = time.monotonic()
                print(f"{place}: {done:,} of {store.num_rows:,} frames", flush=True)
        print(size(EpisodeStore.open(place)))
