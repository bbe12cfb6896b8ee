"""The files of an append-only store. A commit records how many of their rows are valid."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace
from pathlib import Path

import numpy as np

from adamas.core.errors import UserError
from adamas.core.files import sync, temporary_path
from adamas.data.checksums import ENTRIES_PER_CHECKSUM, extend, verify
from adamas.data.index import INDEX, Index, cannot_write, write_index
from adamas.data.locations import Place, file_size
from adamas.data.view import FRAMES, ROWS, map_file, row_dtype


class StoreFiles:
    """The files of one store. A packed store is read-only.

    Attributes:
        num_rows: number of rows in the files, committed or not.
        checksums: checksums of these rows, by file. None in a store that an older version began: without checksums
            for its first rows, it never gets any.
    """

    def __init__(self, folder: Place, index: Index) -> None:
        """Use the files in ``folder`` at the commit that ``index`` describes."""
        self.folder = folder
        self.num_rows = index.num_rows
        self.checksums = None if index.checksums is None else {n: [*s] for n, s in index.checksums.items()}
        self._index = index
        row = row_dtype(index.action_spec)
        self._entries = {FRAMES: (np.dtype(np.uint8), index.obs_shape), ROWS: (row, ())}

    @classmethod
    def create(cls, folder: Path, index: Index) -> Index:
        """Make the files of an empty store, and return its index.

        Raises:
            UserError: the folder is not empty, or cannot be written.
        """
        index = replace(index, checksums={FRAMES: [], ROWS: []})
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not all(map(_is_leftover, folder.iterdir())):
                raise UserError(f"{folder} is not empty; open it, or choose another folder for a new store")
            (folder / FRAMES).touch()
            (folder / ROWS).touch()
            write_index(folder, index)
            sync(folder.parent)
        except OSError as error:
            raise cannot_write(folder, error) from error
        return index

    def append(self, obs: np.ndarray, rows: np.ndarray) -> None:
        """Append N frames, (N, C, H, W) uint8, and their N rows.

        Raises:
            UserError: the disk is full. The number of rows is unchanged then.
        """
        folder = self._writable()
        data = {FRAMES: obs.tobytes(), ROWS: rows.tobytes()}
        try:
            for name, content in data.items():
                with open(folder / name, "r+b") as file:
                    file.seek(self.num_rows * self._size(name))
                    file.write(content)
        except OSError as error:
            raise cannot_write(folder, error) from error
        sums = None
        if self.checksums is not None:
            sums = {name: [*known] for name, known in self.checksums.items()}
            for name, content in data.items():
                extend(sums[name], self.num_rows, content, self._size(name))
        # In one statement, so that Ctrl-C cannot part the checksums from the number of rows.
        self.num_rows, self.checksums = self.num_rows + len(rows), sums

    def commit(self) -> None:
        """Sync all rows to the disk and record their number, so that they survive a crash or a power cut.

        Raises:
            UserError: the disk is full. The previous commit is still valid.
        """
        self._commit(replace(self._index, num_rows=self.num_rows, checksums=self.checksums))

    def truncate(self, num_rows: int) -> None:
        """Drop all rows after the first ``num_rows``, and commit.

        Raises:
            UserError: there are fewer rows, the store is packed, the disk is full, or rows that need a new checksum are
                damaged.
        """
        self._writable()
        if not 0 <= num_rows <= self.num_rows:
            raise UserError(
                f"{self.folder} holds {self.num_rows} rows, but the checkpoint needs {num_rows}; "
                "restore the replay that belongs to the checkpoint"
            )
        sums = self.checksums
        if sums is not None:
            sums = {name: self._shorter(name, sums[name], num_rows) for name in self._entries}
        # Commit now: the next append overwrites rows that the previous commit still declares valid.
        self._commit(replace(self._index, num_rows=num_rows, checksums=sums))
        self.num_rows, self.checksums = num_rows, sums

    def _shorter(self, name: str, sums: list[int], num_rows: int) -> list[int]:
        """Return the checksums of a file's first ``num_rows`` entries. A last block that shrinks is read and hashed."""
        whole, rest = divmod(num_rows, ENTRIES_PER_CHECKSUM)
        if not rest or num_rows == self.num_rows:
            return sums[: whole + bool(rest)]
        path, (dtype, shape) = Path(self.folder) / name, self._entries[name]
        first = whole * ENTRIES_PER_CHECKSUM
        last = min(self.num_rows, first + ENTRIES_PER_CHECKSUM)
        entries = map_file(path, dtype, (last, *shape))[first:]
        # Verify first: a new checksum of damaged rows would hide the damage.
        deque(verify(path, sums[whole : whole + 1], entries, first), maxlen=0)
        shorter = sums[:whole]
        extend(shorter, first, entries[:rest].tobytes(), self._size(name))
        return shorter

    def _commit(self, index: Index) -> None:
        folder = self._writable()
        try:
            for name in self._entries:
                file_size(folder / name)  # refuses a pipe, which would block when it is opened
                sync(folder / name)
            write_index(folder, index)
        except OSError as error:
            raise cannot_write(folder, error) from error

    def _writable(self) -> Path:
        if self._index.packed:
            raise UserError(f"{self.folder} is packed and therefore read-only; choose another folder")
        return Path(self.folder)

    def _size(self, name: str) -> int:
        """Bytes of one entry of a file."""
        dtype, shape = self._entries[name]
        return dtype.itemsize * math.prod(shape)


def _is_leftover(path: Path) -> bool:
    """Whether a file was left behind when making a store was interrupted, and holds no rows."""
    unfinished = temporary_path(path.with_name(INDEX)).name
    return path.name == unfinished or (path.name in (FRAMES, ROWS) and file_size(path) == 0)
