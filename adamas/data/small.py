"""Small copies of a dataset's frames, made once: what the first of two stages learns from.

A model of big scenes dreams in small frames (:mod:`adamas.diffusion.upsampler`). Shrinking them anew for every batch
means reading, and unpacking, full frames that are many times as large. So the small ones are kept in a file of their
own::

    small-30x56-1a2b3c4d.bin     row r: the pixels of frame r, shrunk; C * h * w bytes

The last part of the name is a checksum of the dataset, so that small frames are never taken for another one's. They
are written to ``small-30x56-1a2b3c4d.bin.part`` first, which an interrupted run leaves for the next one to complete.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from adamas.core.errors import UserError
from adamas.core.files import sync
from adamas.data.index import cannot_write
from adamas.data.store import EpisodeStore
from adamas.data.view import View, map_file

CHUNK = 256  # frames that are shrunk at a time
SYNCED = 64  # chunks after which what is written is synced: a crash costs no more
SAMPLES = 64  # frames that stand for all in the checksum of a dataset

Shrink = Callable[[Tensor], Tensor]
"""Frames (K, C, H, W) uint8 to frames (K, C, h, w) uint8."""


def with_small_frames(
    store: EpisodeStore,
    shrink: Shrink,
    folder: Path,
    make: bool = True,
    tell: Callable[[int], None] = lambda done: None,
) -> EpisodeStore:
    """The episodes of ``store`` with small frames.

    Args:
        store: recordings, to which nothing is added any more.
        shrink: how a small frame is made of a full one.
        folder: where the file of small frames is kept.
        make: make the file if it is not there; those of other datasets are removed. Of several processes, one may.
        tell: called with the number of frames made so far, now and then.

    Returns:
        A store for reading alone.

    Raises:
        UserError: the file cannot be written, or is not there and may not be made, or the dataset cannot be read.
    """
    shape = tuple(shrink(torch.zeros((1, *store.obs_shape), dtype=torch.uint8)).shape[1:])
    _, height, width = shape
    path = folder / f"small-{height}x{width}-{_fingerprint(store):08x}.bin"
    if not path.is_file():
        if not make:
            raise UserError(f"{path} is not there, though the first process has made it; share its folder")
        try:
            for other in folder.glob("small-*.bin*"):
                if not other.name.startswith(path.name):
                    other.unlink()
            _make(path, store, shrink, shape, tell)
        except OSError as error:
            raise cannot_write(folder, error) from error
    return _SmallStore(store, map_file(path, np.dtype(np.uint8), (store.num_rows, *shape)))


class _SmallStore(EpisodeStore):
    """The episodes of a store with other frames, (R, C, h, w)."""

    def __init__(self, store: EpisodeStore, frames: np.ndarray) -> None:
        vars(self).update(vars(store))
        self.obs_shape = frames.shape[1], frames.shape[2], frames.shape[3]
        self._frames = frames

    @property
    def view(self) -> View:
        """The index of all rows, which is that of the full frames."""
        return replace(super().view, frames=self._frames)


def _fingerprint(store: EpisodeStore) -> int:
    """A checksum of a dataset: of its rows, of its frames' checksums, and of some frames in case it has none."""
    rows = np.unique(np.linspace(0, store.num_rows - 1, min(SAMPLES, store.num_rows)).astype(np.int64))
    sums = json.dumps([store.num_rows, store.obs_shape, store.checksums], sort_keys=True)
    crc = zlib.crc32(np.ascontiguousarray(store.view.rows).tobytes(), zlib.crc32(sums.encode()))
    return zlib.crc32(store.view.frames[rows].tobytes(), crc)


def _make(
    path: Path, store: EpisodeStore, shrink: Shrink, shape: tuple[int, ...], tell: Callable[[int], None]
) -> None:
    part, size = path.with_name(f"{path.name}.part"), int(np.prod(shape))
    written = part.stat().st_size // size if part.is_file() else 0
    done = max(0, written - CHUNK * SYNCED) // CHUNK * CHUNK  # what came later may not have reached the disk
    with open(part, "r+b" if part.is_file() else "wb") as file:
        file.truncate(done * size)
        file.seek(done * size)
        for first in range(done, store.num_rows, CHUNK):
            rows = np.arange(first, min(first + CHUNK, store.num_rows))
            frames = torch.from_numpy(np.array(store.view.frames[rows]))
            file.write(shrink(frames).numpy().tobytes())
            if (first // CHUNK + 1) % SYNCED == 0:
                file.flush()
                os.fsync(file.fileno())
            tell(int(rows[-1]) + 1)
    sync(part)
    os.replace(part, path)
    sync(path.parent)
