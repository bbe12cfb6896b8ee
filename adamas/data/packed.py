"""Packed datasets: read-only datasets whose frames are compressed in small blocks and decompressed on access.

A packed dataset is a folder, or the same files at a URL in object storage::

    frames.zst   blocks of 4 frames, each compressed separately (zstd with a checksum), one after the other
    blocks.bin   (K + 1,) int64, the byte offsets of K blocks in frames.zst, and the end of the last block
    rows.bin     as in a store (:mod:`adamas.data.store`), but sorted by episode, then by time
    index.json   as in a store

A segment of a few frames is in two or three adjacent blocks, so it takes a single read, which is a single request to
object storage. fsspec makes the requests of a batch in parallel where it can.
"""

from __future__ import annotations

import math
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from adamas.core.errors import UserError, not_installed
from adamas.data.locations import Place, filesystem, is_url, join, reaching, read_file
from adamas.data.view import ROWS, View, damaged, map_file

PACKED_FRAMES, BLOCKS = "frames.zst", "blocks.bin"
FRAMES_PER_BLOCK = 4  # compresses nearly as well as longer blocks, and few unwanted frames are decompressed


class PackedFrames:
    """The frames of a packed dataset, indexed by row numbers like an array. Threads may share it."""

    def __init__(self, place: Place, obs_shape: tuple[int, int, int], num_rows: int) -> None:
        """Open the first ``num_rows`` frames of the dataset in ``place``.

        Raises:
            UserError: a file is missing, too short or damaged, or a library is not installed.
        """
        zstandard()  # fail now if it is not installed
        self.obs_shape = obs_shape
        self.name = join(place, PACKED_FRAMES)
        if not is_url(self.name):
            map_file(Path(self.name), np.dtype(np.uint8), (0,))  # fail now if the file is missing
        self.files, self.path = filesystem(self.name)
        self.lock = Lock()  # with two threads at once, fsspec's block cache returns blocks of zeros
        self.starts = read_entries(place, BLOCKS, np.dtype("<i8"), -(-num_rows // FRAMES_PER_BLOCK) + 1)
        if self.starts[0] != 0 or (np.diff(self.starts) <= 0).any():
            raise damaged(join(place, BLOCKS))

    @property
    def nbytes(self) -> int:
        """Number of compressed bytes."""
        return int(self.starts[-1])

    def __getitem__(self, row: np.ndarray) -> np.ndarray:
        """Read frames (..., C, H, W) by row numbers of any shape (...,).

        Raises:
            UserError: a block is damaged or cannot be read.
        """
        flat = row.ravel()
        order = np.argsort(flat // FRAMES_PER_BLOCK, kind="stable")
        block, first = np.unique(flat[order] // FRAMES_PER_BLOCK, return_index=True)
        obs = np.empty((len(flat), *self.obs_shape), np.uint8)
        decompressor = zstandard().ZstdDecompressor()  # not thread-safe, so not shared
        positions = np.split(order, first[1:])  # positions in ``flat`` of each block's rows
        for number, data, i in zip(block.tolist(), self._fetch(block), positions, strict=True):
            obs[i] = self._unpack(decompressor, number, data)[flat[i] % FRAMES_PER_BLOCK]
        return obs.reshape(*row.shape, *self.obs_shape)

    def _fetch(self, block: np.ndarray) -> list[bytes]:
        """Read compressed blocks, given by increasing numbers. Adjacent blocks are read together."""
        first = np.flatnonzero(np.diff(block, prepend=-2) != 1)
        last = np.append(first[1:], len(block)) - 1
        begin, end = self.starts[block[first]], self.starts[block[last] + 1]
        with reaching(self.name), self.lock:
            runs = self.files.cat_ranges(
                [self.path] * len(first), begin.tolist(), end.tolist(), on_error="raise"
            )
        run = np.repeat(np.arange(len(first)), last - first + 1)  # the run that each block is in
        low, high = self.starts[block] - begin[run], self.starts[block + 1] - begin[run]
        return [runs[i][a:b] for i, a, b in zip(run.tolist(), low.tolist(), high.tolist(), strict=True)]

    def _unpack(self, decompressor: Any, number: int, data: bytes) -> np.ndarray:
        """Decompress the frames of a block, (FRAMES_PER_BLOCK, C, H, W). The last block may have fewer."""
        try:
            if zstandard().frame_content_size(data) > FRAMES_PER_BLOCK * math.prod(self.obs_shape):
                raise ValueError("more than a block")  # before memory is allocated for it
            content = decompressor.decompress(data)
            return np.frombuffer(content, np.uint8).reshape(-1, *self.obs_shape)
        except (zstandard().ZstdError, ValueError) as error:
            first = number * FRAMES_PER_BLOCK
            raise UserError(
                f"{self.name}, rows {first} to {first + FRAMES_PER_BLOCK - 1}: damaged; pack the dataset again"
            ) from error


def packed_view(place: Place, obs_shape: tuple[int, int, int], num_rows: int, dtype: np.dtype[Any]) -> View:
    """Open a packed dataset and index its rows.

    Raises:
        UserError: a file is missing, too short or damaged, or a library is not installed.
    """
    rows = read_entries(place, ROWS, dtype, num_rows)
    return View.indexed(place, PackedFrames(place, obs_shape, num_rows), rows)


def read_entries(place: Place, name: str, dtype: np.dtype[Any], count: int) -> np.ndarray:
    """Read the first ``count`` entries of a small file: memory-mapped, or downloaded from a URL.

    Raises:
        UserError: the file is missing or too short.
    """
    path = join(place, name)
    if not is_url(path):
        return map_file(Path(path), dtype, (count,))
    content = read_file(path)
    if len(content) < count * dtype.itemsize:
        raise UserError(f"{path} is shorter than its index says; pack the dataset again")
    return np.frombuffer(content, dtype, count)


def zstandard() -> Any:
    """Import the compression library zstandard.

    Raises:
        UserError: it is not installed.
    """
    try:
        import zstandard
    except ImportError as error:
        raise not_installed("zstandard", "data") from error
    return zstandard
