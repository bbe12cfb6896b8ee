"""Read NPZ files, each of which holds one episode."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from adamas.core.errors import UserError
from adamas.data.importing.arrays import Arrays, episode
from adamas.data.importing.source import Selection, Source


class _Array:
    """An array in an NPZ file. Only its header has been read; its values are read when it is indexed."""

    def __init__(self, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
        self._archive, self._entry = archive, entry
        with archive.open(entry) as file:
            self.shape, self._fortran, self.dtype = _header(file)
            size = entry.file_size - file.tell()
        if not self.dtype.hasobject and math.prod(self.shape) * self.dtype.itemsize != size:
            raise ValueError(
                f"{entry.filename} holds {size:,} bytes, which is not the size of {self.dtype} {self.shape}"
            )

    def __len__(self) -> int:
        return self.shape[0] if self.shape else 0

    def __getitem__(self, key: Any) -> Any:
        with self._archive.open(self._entry) as file:
            return npy.read_array(file, allow_pickle=False)[key]

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the rows one by one, without reading the whole array into memory."""
        if self._fortran:
            yield from self[()]
            return
        with self._archive.open(self._entry) as file:
            _header(file)
            size = math.prod(self.shape[1:]) * self.dtype.itemsize
            for _ in range(len(self)):
                yield np.frombuffer(file.read(size), self.dtype).reshape(self.shape[1:])


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    return read(file)


@contextmanager
def _opened(file: Path) -> Iterator[Arrays]:
    """Open a file and yield its arrays. Raises OSError if the file, or a part of it, cannot be read."""
    try:
        with zipfile.ZipFile(file) as archive:
            entries = [entry for entry in archive.infolist() if entry.filename.endswith(".npy")]
            yield {entry.filename.removesuffix(".npy"): _Array(archive, entry) for entry in entries}
    except (ValueError, EOFError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise OSError(str(error) or type(error).__name__) from error


def npz(file: Path, selection: Selection) -> list[Source]:
    """Return the episode in a file.

    Args:
        file: a file that ``numpy.savez`` has written.
        selection: what to import.

    Raises:
        UserError: the file cannot be read, or is not an episode.
    """
    opened = partial(_opened, file)
    try:
        with opened() as arrays:
            return [episode(file, opened, arrays, selection)]
    except OSError as error:
        raise UserError(
            f"{file} cannot be read as an NPZ file of plain arrays ({error}); export it again"
        ) from error
