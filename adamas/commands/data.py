"""``adamas data``: import recordings, and inspect, validate, split and pack datasets."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from PIL import Image

from adamas.commands.common import first_argument
from adamas.core.arguments import parse
from adamas.core.checks import check_range
from adamas.core.console import counted
from adamas.core.errors import Interrupted, UserError, with_flags
from adamas.core.files import creating
from adamas.core.options import flags_of
from adamas.data.importing.run import ImportOptions, import_recordings
from adamas.data.index import INDEX
from adamas.data.inspect import check, contact_sheet, first_training, size_line, summary
from adamas.data.locations import is_url, join, local, parse_place
from adamas.data.pack import is_packed_copy
from adamas.data.pack import pack as pack_store
from adamas.data.split import split as split_store
from adamas.data.store import EpisodeStore

PROGRESS_SECONDS = 10  # between two lines of progress while a dataset is packed


@dataclass(frozen=True)
class Import:
    """Make a dataset of your own recordings: a video, a folder of images, or arrays in a file."""

    out: str
    """Folder of the new dataset. It must not exist yet."""
    actions: Path | None = None
    """Table (.csv) of the actions in a video or a folder of images, or a folder of such tables. By default, each
    table is the file of the same name beside its recording."""
    options: Annotated[ImportOptions, tyro.conf.arg(name="")] = field(default_factory=ImportOptions)


@dataclass(frozen=True)
class Inspect:
    """Show what is in a dataset."""

    sheet: Path | None = None
    """Picture to write (.png), with frames from all parts of the dataset. By default, none is written."""


@dataclass(frozen=True)
class Validate:
    """Check every row of a dataset, and compare its files with their checksums. It has no options."""


@dataclass(frozen=True)
class Split:
    """Split a dataset's episodes at random into a part to train on and a part to test on."""

    out: str
    """Folder to write, with train/ and test/ in it. It must not exist yet."""
    test: float = 0.1
    """Share of the episodes that go to test/, above 0 and below 1. At least one episode goes there."""
    seed: int = 0
    """Seed of the random choice of episodes, at least 0."""
    cut: int | None = None
    """Number of steps of the pieces into which longer episodes are cut before the split, for example where everything
    is one long recording. By default, episodes stay whole."""
    without_actions: bool = False
    """Leave out the actions. A model trained on the result never sees an action, and is a baseline for one that does
    (adamas fidelity --baseline)."""

    def __post_init__(self) -> None:
        check_range("seed", self.seed, least=0)
        check_range("cut", self.cut, least=1)
        check_range("test", self.test, above=0, below=1)


@dataclass(frozen=True)
class Pack:
    """Compress a dataset, or both parts of a split one. A packed dataset cannot grow."""

    out: str
    """Folder or URL (s3://BUCKET/NAME) of the packed dataset. It must not hold a dataset yet."""


def import_(arguments: Sequence[str]) -> None:
    """Import recordings, and print what is in the dataset."""
    word, rest = first_argument(arguments, "data import", "a file or folder")
    path = parse_place(word)
    options = parse(Import, rest, f"data import {path}")

    def tell(done: int, count: int, name: str) -> None:
        print(f"episode {done + 1}/{count}: {name}", flush=True)

    def note(line: str) -> None:
        print(f"note: {with_flags(line, flags_of(Import))}", file=sys.stderr, flush=True)

    place, out = local(path), local(options.out)
    try:
        store = import_recordings(place, out, options.actions, options.options, tell, note)
    except KeyboardInterrupt:
        raise Interrupted("interrupted; run the same command again to import the rest") from None
    print("\n".join([*summary(store), "", *first_training(store)]))


def inspect(arguments: Sequence[str]) -> None:
    """Print what is in a dataset, and draw a sheet of its frames where asked."""
    word, rest = first_argument(arguments, "data inspect", "the folder or URL of a dataset")
    path = parse_place(word)
    options = parse(Inspect, rest, f"data inspect {path}")
    store = EpisodeStore.open(path)
    print("\n".join(summary(store)))
    if options.sheet is not None:
        try:
            with creating(options.sheet) as file:
                Image.fromarray(contact_sheet(store)).save(file)
        except FileExistsError as error:
            raise UserError(f"{options.sheet} exists; choose another `sheet`") from error
        except (OSError, ValueError) as error:
            raise UserError(
                f"cannot write {options.sheet} ({error}); choose a .png that can be written"
            ) from error
        print(f"  {options.sheet}")


def validate(arguments: Sequence[str]) -> None:
    """Check a dataset, and say whether it is sound."""
    word, rest = first_argument(arguments, "data validate", "the folder or URL of a dataset")
    path = parse_place(word)
    parse(Validate, rest, f"data validate {path}")
    store = EpisodeStore.open(path)
    check(store)
    unknown = (
        ""
        if store.has_checksums
        else ", but changed pixels cannot be noticed, because an older adamas wrote this dataset without checksums "
        "(adamas data split and pack make copies that have them)"
    )
    print(
        f"{path}: {counted(store.num_episodes, 'episode')}, {counted(store.num_rows, 'frame')}: no fault found{unknown}"
    )


def split(arguments: Sequence[str]) -> None:
    """Split a dataset, and print the sizes of the parts."""
    word, rest = first_argument(arguments, "data split", "the folder or URL of a dataset")
    path = parse_place(word)
    options = parse(Split, rest, f"data split {path}")
    rng = np.random.default_rng(options.seed)
    parts = split_store(
        EpisodeStore.open(path),
        local(options.out),
        options.test,
        rng,
        options.cut,
        not options.without_actions,
    )
    for name, store in parts:
        sizes = counted(store.num_episodes, "episode"), counted(store.num_transitions, "step")
        print(f"{name}: {sizes[0]}, {sizes[1]}: {store.folder}")


def pack(arguments: Sequence[str]) -> None:
    """Pack a dataset or its parts, and print their sizes."""
    word, rest = first_argument(arguments, "data pack", "the folder or URL of a dataset")
    path = parse_place(word)
    out = parse_place(parse(Pack, rest, f"data pack {path}").out)
    parted = not is_url(path) and not (Path(path) / INDEX).is_file() and (Path(path) / "train").is_dir()
    for name in ("train", "test") if parted else ("",):
        place = join(out, name) if name else out
        store = EpisodeStore.open(join(path, name) if name else path)
        if parted and is_packed_copy(store, place):  # by an interrupted run of this command
            print(f"{place} is packed already")
            continue
        printed = time.monotonic()
        for done in pack_store(store, place):
            if time.monotonic() - printed > PROGRESS_SECONDS:
                printed = time.monotonic()
                print(f"{place}: {done:,} of {store.num_rows:,} frames", flush=True)
        print(size_line(EpisodeStore.open(place)))
