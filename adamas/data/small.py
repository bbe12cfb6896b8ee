"""A cache of a dataset's frames at low resolution, for the first stage of a two-stage model.

A two-stage model dreams in small frames, which a second stage enlarges (:mod:`adamas.diffusion.upsampler`). Shrinking
frames again for every batch would mean reading full frames, which are many times as large. The small frames are
therefore computed once and stored in a file::

    small-30x56-1a2b3c4d.bin     row r: the pixels of frame r, shrunk; C * h * w bytes

The last part of the name is a checksum of the dataset, so that the file is never used with another dataset. Frames are
first written to ``small-30x56-1a2b3c4d.bin.part``. If the run is interrupted, the next run completes this file.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from adamas.core.errors import UserError
from adamas.core.files import move_into_place, sync
from adamas.core.types import Batch
from adamas.data.index import cannot_write
from adamas.data.locations import Place
from adamas.data.store import EpisodeStore
from adamas.data.view import View, map_file

CHUNK = 256  # frames shrunk at a time
SYNCED = 64  # chunks between two syncs; a crash loses at most this many
SAMPLES = 64  # number of frames that enter the checksum of a dataset

Shrink = Callable[[Tensor], Tensor]
"""Frames (K, C, H, W) uint8 to frames (K, C, h, w) uint8."""


def with_small_frames(
    store: EpisodeStore,
    shrink: Shrink,
    folder: Path,
    make: bool = True,
    on_progress: Callable[[int], None] = lambda done: None,
) -> SmallStore:
    """Return the episodes of ``store`` with small frames.

    Args:
        store: recordings that no longer grow.
        shrink: makes small frames of full frames.
        folder: folder of the file of small frames.
        make: whether to write the file if it is missing, after all other files of small frames in the folder are
            removed. In data-parallel training only one process may do this.
        on_progress: called with the number of frames written so far, after every chunk.

    Raises:
        UserError: the file cannot be written, it is missing and ``make`` is False, or the dataset cannot be read.
    """
    shape = tuple(shrink(torch.zeros((1, *store.obs_shape), dtype=torch.uint8)).shape[1:])
    _, height, width = shape
    path = folder / f"small-{height}x{width}-{_fingerprint(store):08x}.bin"
    if not path.is_file():
        if not make:
            raise UserError(
                f"{path} is missing on this machine; all processes must share the folder of the first one"
            )
        try:
            for other in folder.glob("small-*.bin*"):
                if not other.name.startswith(path.name):
                    other.unlink()
            _make(path, store, shrink, shape, on_progress)
        except OSError as error:
            raise cannot_write(folder, error) from error
    frames = map_file(path, np.dtype(np.uint8), (store.num_rows, *shape))
    return SmallStore(store.folder, replace(store.view, frames=frames))


@dataclass(frozen=True)
class SmallStore:
    """The episodes of a store with small frames, as a sampler reads them. It cannot be written to.

    Attributes:
        folder: the folder or URL of the store.
        view: the store's rows with the small frames, (R, C, h, w).
    """

    folder: Place
    view: View

    @property
    def lengths(self) -> np.ndarray:
        """(E,) int64: number of frames of each episode, oldest first."""
        return self.view.lengths

    def read(
        self, episode: np.ndarray, start: np.ndarray, num_frames: int, end: np.ndarray | None = None
    ) -> Batch:
        """Read B segments (:meth:`~adamas.data.view.View.segments`)."""
        return self.view.segments(episode, start, num_frames, end)


def _fingerprint(store: EpisodeStore) -> int:
    """Return a checksum of a dataset's rows, of its checksums, and of some frames (a dataset may lack checksums)."""
    rows = np.unique(np.linspace(0, store.num_rows - 1, min(SAMPLES, store.num_rows)).astype(np.int64))
    sums = json.dumps([store.num_rows, store.obs_shape, store.checksums], sort_keys=True)
    crc = zlib.crc32(np.ascontiguousarray(store.view.rows).tobytes(), zlib.crc32(sums.encode()))
    return zlib.crc32(store.view.frames[rows].tobytes(), crc)


def _make(
    path: Path,
    store: EpisodeStore,
    shrink: Shrink,
    shape: tuple[int, ...],
    on_progress: Callable[[int], None],
) -> None:
    """Write the small frames, after those that an interrupted run has written."""
    part, size = path.with_name(f"{path.name}.part"), int(np.prod(shape))
    written = part.stat().st_size // size if part.is_file() else 0
    done = max(0, written - CHUNK * SYNCED) // CHUNK * CHUNK  # later chunks may not have been synced
    with open(part, "r+b" if part.is_file() else "wb") as file:
        file.truncate(done * size)
        file.seek(done * size)
        for first in range(done, store.num_rows, CHUNK):
            rows = np.arange(first, min(first + CHUNK, store.num_rows))
            frames = torch.from_numpy(np.array(store.view.frames[rows]))
            file.write(shrink(frames).numpy().tobytes())
            if (first // CHUNK + 1) % SYNCED == 0:
                file.flush()
                sync(part)
            on_progress(int(rows[-1]) + 1)
    sync(part)
    move_into_place(part, path)
