"""Find recordings in files and folders, and the tables of actions that belong to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from os.path import abspath
from pathlib import Path

from adamas.core.errors import UserError
from adamas.data.importing.arrays import refuse_table
from adamas.data.importing.hdf5 import hdf5
from adamas.data.importing.minari import MAIN, METADATA, minari
from adamas.data.importing.names import natural
from adamas.data.importing.npz import npz
from adamas.data.importing.pictures import IMAGES, check_order, list_pictures, read_pictures
from adamas.data.importing.reading import SUFFIXES
from adamas.data.importing.source import Note, Selection, Source, Table
from adamas.data.importing.table import read_table
from adamas.data.importing.videos import VIDEOS, decode

ARRAYS: Mapping[str, Callable[[Path, Selection], list[Source]]] = {
    ".npz": npz,
    ".hdf5": hdf5,
    ".h5": hdf5,
}
"""Readers of files that hold their own actions, by the suffix of the file."""
SHOWN = 5  # most names of unused files in one line


@dataclass(kw_only=True)
class Finder:
    """Finds recordings in files and folders.

    Attributes:
        note: called with lines for the user.
        actions: the table of a single recording, or a folder of tables. None: each table is beside its recording.
        selection: what to import. If no actions, recordings need no tables.
    """

    note: Note
    selection: Selection
    actions: Path | None = None
    _seen: list[Path] = field(default_factory=list)
    _used: set[str] = field(default_factory=set)  # absolute paths of all files and folders that are imported
    _filmed: list[Path] = field(default_factory=list)  # videos and folders of images, which have tables

    def find(self, path: Path) -> list[Source]:
        """Return the episodes in a file, or in a folder and all folders below it, in natural order of their names.

        Raises:
            UserError: ``path`` does not exist, nothing in it can be imported, or a recording has no table.
        """
        if not path.exists():
            raise UserError(f"{path} does not exist; check the path")
        sources = self._folder(path) if path.is_dir() else self._file(path, alone=True)
        if not sources:
            known = ", ".join((*VIDEOS, *ARRAYS, *IMAGES))
            raise UserError(
                f"nothing in {path} can be imported; give a file or folder with one of {known} (images: a folder)"
            )
        if self.actions is not None and len(self._filmed) > 1 and not self.actions.is_dir():
            raise UserError(
                f"{self.actions} is one table, but {path} holds {len(self._filmed)} recordings; give a folder of tables"
            )
        if self.selection.frames is not None and self._filmed:
            raise UserError(f"{self._filmed[0]} has no arrays to choose from; leave out `frames`")
        left = [file for file in self._seen if abspath(file) not in self._used]
        if left:
            names = ", ".join(str(file.relative_to(path)) for file in left[:SHOWN])
            self.note(
                f"not imported: {names}"
                + (f" and {len(left) - SHOWN} more files" if len(left) > SHOWN else "")
            )
        return sources

    def _folder(self, folder: Path) -> list[Source]:
        entries = sorted(
            (p for p in folder.iterdir() if p.name[0] != "."), key=lambda p: natural(p.name.lower())
        )
        if found := minari(folder, self.actions, self.selection):
            self._seen += [p for p in entries if p.name not in (MAIN, METADATA) and not p.name.isdigit()]
            return found
        inner = [p for p in entries if p.is_dir() and not p.is_symlink()]
        self._seen += [p for p in entries if p not in inner]
        recordings = [p for p in entries if p.is_file() and p.suffix.lower() in (*VIDEOS, *ARRAYS)]
        sources = [source for file in recordings for source in self._file(file, alone=len(recordings) == 1)]
        deeper = [source for p in inner for source in self._folder(p)]
        shots = [] if recordings else list_pictures(folder)
        if shots and (self._tables(folder, alone=True) or not deeper):
            check_order(shots, self.note)
            self._used.update(map(abspath, shots))
            table = self._table(folder, alone=True)
            sources.append(Source(folder, table, partial(read_pictures, shots)))
        return sources + deeper

    def _file(self, file: Path, alone: bool) -> list[Source]:
        """Return the episodes in a file. ``alone`` says that it is the only recording in its folder."""
        suffix = file.suffix.lower()
        self._used.add(abspath(file))
        if suffix in ARRAYS:
            refuse_table(file, self.actions)
            return ARRAYS[suffix](file, self.selection)
        if suffix in VIDEOS:
            return [Source(file, self._table(file, alone), partial(decode, file))]
        return []

    def _table(self, recording: Path, alone: bool) -> Table:
        """Read the table of a video or a folder of images."""
        self._filmed.append(recording)
        found = self._tables(recording, alone)
        if not found and not self.selection.actions:
            return Table(recording, {})
        if len(found) != 1:
            stem = recording.name if recording.is_dir() else recording.stem
            names = ", ".join(path.name for path in found)
            raise UserError(
                f"{recording} needs one table of actions, called {', '.join(stem + s for s in SUFFIXES)}"
                f"{f' (found: {names})' if found else ''}; name it with `actions`, or import `without_actions`"
            )
        if abspath(found[0]) in self._used and found[0] != self.actions:
            raise UserError(
                f"{found[0]} is the table of {recording} and of another recording; give each its own"
            )
        self._used.add(abspath(found[0]))
        return read_table(found[0], self.selection.ignore)

    def _tables(self, recording: Path, alone: bool) -> list[Path]:
        """Return the given table, or those with the recording's name, or those called "actions" beside a single one."""
        if self.actions is not None and not self.actions.is_dir():
            return [self.actions]
        stem = recording.name if recording.is_dir() else recording.stem
        named = _called(self.actions or recording.parent, stem)
        inside = recording if recording.is_dir() else recording.parent
        if self.actions is not None or (named and not recording.is_dir()) or not alone:
            return named
        return named + _called(inside, "actions")


def _called(folder: Path, stem: str) -> list[Path]:
    """Return the tables in a folder that have the name ``stem``, except hidden ones."""
    shown = (path for path in folder.iterdir() if path.name[0] != ".")
    tables = (path for path in shown if path.is_file() and path.suffix.lower() in SUFFIXES)
    return sorted(path for path in tables if path.stem == stem)
