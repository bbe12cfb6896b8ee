"""Packed datasets: frames compressed in small blocks, which are read and unpacked as they are asked for.

A packed dataset is a folder, or a URL of the same files in object storage::

    frames.zst   blocks of BLOCK frames, each compressed by itself (zstd with a checksum), one after the other
    blocks.bin   (K + 1,) int64, where each of K blocks starts, and the last one ends
    rows.bin     as in a store (:mod:`adamas.data.store`), but sorted by episode, then by time
    index.json   as in a store

Nothing is added to it any more. A segment of a few frames lies in two or three blocks that are neighbours, so it is
a single read, in storage a single request; the requests of a batch are made side by side, as far as fsspec can.
"""

from __future__ import annotations

import math
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from adamas.core.errors import UserError, require
from adamas.data.locations import Place, filesystem, is_url, join, reaching, read_file
from adamas.data.view import ROWS, View, damaged, map_file

PACKED_FRAMES, BLOCKS = "frames.zst", "blocks.bin"
BLOCK = 4  # frames: most of the ratio of long blocks, and little to unpack besides what is asked for


class PackedFrames:
    """The frames of a packed dataset, by row numbers like those of an array. Threads may share it."""

    def __init__(self, place: Place, obs_shape: tuple[int, int, int], num_rows: int) -> None:
        """The first ``num_rows`` frames of the dataset in ``place``.

        Raises:
            UserError: a file is missing, too short or damaged, or a library is not installed.
        """
        zstandard()  # say at once if it is missing
        self.obs_shape = obs_shape
        self.name = join(place, PACKED_FRAMES)
        if not is_url(self.name):
            map_file(Path(self.name), np.dtype(np.uint8), (0,))  # say at once if it is missing, or no file
        self.files, self.path = filesystem(self.name)
        self.one_at_a_time = Lock()  # two threads in fsspec's block cache give each other blocks of zeros
        self.starts = read_rows(place, BLOCKS, np.dtype("<i8"), -(-num_rows // BLOCK) + 1)
        if self.starts[0] != 0 or (np.diff(self.starts) <= 0).any():
            raise damaged(join(place, BLOCKS))

    @property
    def nbytes(self) -> int:
        """Bytes of all blocks."""
        return int(self.starts[-1])

    def __getitem__(self, row: np.ndarray) -> np.ndarray:
        """Row numbers of any shape (...,) to frames (..., C, H, W).

        Raises:
            UserError: a block is damaged, or cannot be read.
        """
        flat = row.ravel()
        order = np.argsort(flat // BLOCK, kind="stable")
        block, first = np.unique(flat[order] // BLOCK, return_index=True)
        obs = np.empty((len(flat), *self.obs_shape), np.uint8)
        decompressor = zstandard().ZstdDecompressor()  # not for two threads at once
        asked = np.split(order, first[1:])  # where in ``flat`` the rows of each block are
        for number, data, i in zip(block.tolist(), self._fetch(block), asked, strict=True):
            obs[i] = self._unpack(decompressor, number, data)[flat[i] % BLOCK]
        return obs.reshape(*row.shape, *self.obs_shape)

    def _fetch(self, block: np.ndarray) -> list[bytes]:
        """Compressed blocks, by increasing numbers; neighbours are read together."""
        first = np.flatnonzero(np.diff(block, prepend=-2) != 1)
        last = np.append(first[1:], len(block)) - 1
        begin, end = self.starts[block[first]], self.starts[block[last] + 1]
        with reaching(self.name), self.one_at_a_time:
            runs = self.files.cat_ranges(
                [self.path] * len(first), begin.tolist(), end.tolist(), on_error="raise"
            )
        run = np.repeat(np.arange(len(first)), last - first + 1)  # where each block is
        low, high = self.starts[block] - begin[run], self.starts[block + 1] - begin[run]
        return [runs[i][a:b] for i, a, b in zip(run.tolist(), low.tolist(), high.tolist(), strict=True)]

    def _unpack(self, decompressor: Any, number: int, data: bytes) -> np.ndarray:
        """The frames of a block, (BLOCK, C, H, W); the last block may have fewer."""
        try:
            if zstandard().frame_content_size(data) > BLOCK * math.prod(self.obs_shape):
                raise ValueError("more than a block")  # before memory is asked for
            content = decompressor.decompress(data)
            return np.frombuffer(content, np.uint8).reshape(-1, *self.obs_shape)
        except (zstandard().ZstdError, ValueError) as error:
            raise UserError(
                f"{self.name}, rows {number * BLOCK} to {(number + 1) * BLOCK - 1}: damaged; pack the dataset anew"
            ) from error


def packed_view(place: Place, obs_shape: tuple[int, int, int], num_rows: int, dtype: np.dtype[Any]) -> View:
    """The rows of a packed dataset.

    Raises:
        UserError: a file is missing, too short or damaged, or a library is not installed.
    """
    rows = read_rows(place, ROWS, dtype, num_rows)
    return View.indexed(place, PackedFrames(place, obs_shape, num_rows), rows)


def read_rows(place: Place, name: str, dtype: np.dtype[Any], count: int) -> np.ndarray:
    """The first ``count`` entries of a small file: mapped, or fetched from a URL.

    Raises:
        UserError: the file is missing or too short.
    """
    path = join(place, name)
    if not is_url(path):
        return map_file(Path(path), dtype, (count,))
    content = read_file(path)
    if len(content) < count * dtype.itemsize:
        raise UserError(f"{path} is shorter than its index says; pack the dataset anew")
    return np.frombuffer(content, dtype, count)


def zstandard() -> Any:
    """The module that compresses.

    Raises:
        UserError: it is not installed.
    """
    try:
        import zstandard
    except ImportError as error:
        raise require("zstandard", "data") from error
    return zstandard
