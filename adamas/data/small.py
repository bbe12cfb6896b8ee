"""Small copies of a dataset's frames, made once: what the first of two stages learns from.

A model of big scenes dreams in small frames (:mod:`adamas.diffusion.upsampler`). Shrinking them anew for every batch
means reading, and unpacking, full frames that are many times as large. So the small ones are kept in a file of their
own::

    small-30x56.bin     row r: the pixels of frame r, shrunk; C * h * w bytes

They are written to ``small-30x56.bin.part`` first, which an interrupted run leaves for the next one to complete.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from adamas.core.files import sync
from adamas.data.collate import View, map_file
from adamas.data.index import cannot_write
from adamas.data.store import EpisodeStore

CHUNK = 256  # frames that are shrunk at a time
SAMPLES = 8  # frames that are compared to see whether a file belongs to a dataset

Shrink = Callable[[Tensor], Tensor]
"""Frames (K, C, H, W) uint8 to frames (K, C, h, w) uint8."""


def with_small_frames(
    store: EpisodeStore,
    shrink: Shrink,
    folder: Path,
    tell: Callable[[int], None] = lambda done: None,
) -> EpisodeStore:
    """The episodes of ``store`` with small frames, which are made if ``folder`` does not hold them yet.

    Args:
        store: recordings, to which nothing is added any more.
        shrink: how a small frame is made of a full one.
        folder: where the file of small frames is kept.
        tell: called with the number of frames made so far, now and then.

    Returns:
        A store for reading alone.

    Raises:
        UserError: the file cannot be written, or the dataset cannot be read.
    """
    shape = tuple(shrink(torch.zeros((1, *store.obs_shape), dtype=torch.uint8)).shape[1:])
    _, height, width = shape
    path = folder / f"small-{height}x{width}.bin"
    if not _belongs(path, store, shrink, shape):
        try:
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


def _belongs(path: Path, store: EpisodeStore, shrink: Shrink, shape: tuple[int, ...]) -> bool:
    """Whether ``path`` is complete, and some frames in it are those of the dataset: it could be another by now."""
    if not path.is_file() or path.stat().st_size != store.num_rows * int(np.prod(shape)):
        return False
    small = map_file(path, np.dtype(np.uint8), (store.num_rows, *shape))
    rows = np.unique(np.linspace(0, store.num_rows - 1, SAMPLES).astype(np.int64))
    return np.array_equal(small[rows], _shrunk(store, shrink, rows))


def _make(
    path: Path, store: EpisodeStore, shrink: Shrink, shape: tuple[int, ...], tell: Callable[[int], None]
) -> None:
    part, size = path.with_name(f"{path.name}.part"), int(np.prod(shape))
    done = part.stat().st_size // size if part.is_file() else 0
    # The last chunk may have been on its way to the disk, and the frames before may be another dataset's.
    done = max(0, min(done, store.num_rows) - CHUNK)
    if done and not np.array_equal(
        map_file(part, np.dtype(np.uint8), (done, *shape))[-1],
        _shrunk(store, shrink, np.array([done - 1]))[0],
    ):
        done = 0
    with open(part, "r+b" if part.is_file() else "wb") as file:
        file.truncate(done * size)
        file.seek(done * size)
        for first in range(done, store.num_rows, CHUNK):
            rows = np.arange(first, min(first + CHUNK, store.num_rows))
            file.write(_shrunk(store, shrink, rows).tobytes())
            tell(int(rows[-1]) + 1)
    sync(part)
    os.replace(part, path)
    sync(path.parent)


def _shrunk(store: EpisodeStore, shrink: Shrink, rows: np.ndarray) -> np.ndarray:
    """The small frames of K rows, (K, C, h, w) uint8."""
    return shrink(torch.from_numpy(np.array(store.view.frames[rows]))).numpy()
