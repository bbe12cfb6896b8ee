"""An index from episodes to rows, and the episodes and batches of padded segments that are read through it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.core.types import Batch, Episode
from adamas.data.locations import Place, file_size, is_url, join

FRAMES, ROWS = "frames.bin", "rows.bin"
TRANSITION = ("action", "reward", "terminated", "truncated")


def row_dtype(spec: ActionSpec | None) -> np.dtype[Any]:
    """Return the type of a row of ``rows.bin``: the episode of a frame, and the transition taken from it."""
    discrete = spec is None or spec.is_discrete
    fields: list[tuple[Any, ...]] = [
        ("episode", "<i8"),
        ("action", "<i8") if discrete else ("action", "<f4", spec.shape),  # type: ignore[union-attr]
        ("reward", "<f4"),
        ("terminated", "?"),
        ("truncated", "?"),
        ("final", "?"),
    ]
    return np.dtype(fields)


def filled_rows(dtype: np.dtype[Any], episode: np.ndarray, **fields: np.ndarray | torch.Tensor) -> np.ndarray:
    """Return one row, of :func:`row_dtype`, for each of ``episode``, with these fields; all others are 0.

    Raises:
        TypeError, ValueError: a field has another shape, or a type that cannot be cast without a loss of kind.
    """
    rows = np.zeros(len(episode), dtype)
    rows["episode"] = episode
    for name, values in fields.items():
        column, array = rows[name], np.asarray(values)
        if array.shape != column.shape:
            raise ValueError(f"{name} must be {column.shape}, got {array.shape}")
        if not np.can_cast(array.dtype, column.dtype, "same_kind"):
            raise TypeError(f"{name} must be {column.dtype}, got {array.dtype}")
        column[...] = array
    return rows


class Frames(Protocol):
    """Frames (..., C, H, W) uint8, read by row numbers (...,). An array of R frames satisfies this protocol."""

    @property
    def nbytes(self) -> int:
        """Number of bytes that the frames take on disk."""
        ...

    def __getitem__(self, row: np.ndarray, /) -> np.ndarray:
        """Return a copy of some frames."""
        ...


@dataclass(frozen=True)
class View:
    """R rows of a store, indexed by the E episodes that they belong to.

    Attributes:
        frames: the R frames.
        rows: (R,) of :func:`row_dtype`: the episode of each frame and the transition taken from it.
        order: (R,) int64, row numbers sorted by episode, then by time.
        first: (E,) int64, the position in ``order`` at which each episode starts.
        lengths: (E,) int64, number of frames of each episode.
    """

    frames: Frames
    rows: np.ndarray
    order: np.ndarray
    first: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of(cls, folder: Place, obs_shape: tuple[int, int, int], num_rows: int, dtype: np.dtype[Any]) -> View:
        """Memory-map the first ``num_rows`` rows of a folder and index them.

        Raises:
            UserError: the folder is a URL, or a file is missing, too short or damaged.
        """
        if is_url(folder):
            raise UserError(
                f"{folder} is not packed, and only packed datasets can be read at a URL; put a packed copy there "
                "(adamas data pack makes one)"
            )
        frames = map_file(Path(join(folder, FRAMES)), np.dtype(np.uint8), (num_rows, *obs_shape))
        return cls.indexed(folder, frames, map_file(Path(join(folder, ROWS)), dtype, (num_rows,)))

    @classmethod
    def indexed(cls, folder: Place, frames: Frames, rows: np.ndarray) -> View:
        """Index rows that have been read from ``folder``.

        Raises:
            UserError: the rows are damaged.
        """
        episode = rows["episode"]
        if episode.min(initial=0) < 0 or episode.max(initial=-1) >= len(rows):
            raise damaged(join(folder, ROWS))
        lengths = np.bincount(episode)
        first = np.cumsum(lengths) - lengths
        # NumPy sorts 16-bit integers in linear time, and there are seldom more than 65,535 episodes.
        order = np.argsort(episode.astype(np.min_scalar_type(len(lengths))), kind="stable")
        # Episodes are numbered by their first rows.
        if not lengths.all() or (np.diff(order[first]) < 0).any():
            raise damaged(join(folder, ROWS))
        return cls(frames, rows, order, first, lengths)

    @property
    def newest_rows(self) -> np.ndarray:
        """(E,) of :func:`row_dtype`: the newest row of each episode, whose next frame is unknown."""
        return np.asarray(self.rows[self.order[self.first + self.lengths - 1]])

    @property
    def ended(self) -> np.ndarray:
        """(E,) bool: whether each episode has ended."""
        return np.asarray(self.newest_rows["final"])

    @property
    def returns(self) -> np.ndarray:
        """(E,) float64: return of each episode so far."""
        total = np.bincount(self.rows["episode"], self.rows["reward"])
        return np.asarray(total - self.newest_rows["reward"])

    def episode(self, number: int, start: int = 0, stop: int | None = None) -> Episode:
        """Return a copy of an episode, or of its frames in [start, stop) and the steps between them."""
        row = self.order[self.first[number] :][: self.lengths[number]][start:stop]
        step = self.rows[row[:-1]]
        return Episode(self.frames[row], *(step[name].copy() for name in TRANSITION))

    def segments(
        self, episode: np.ndarray, start: np.ndarray, num_frames: int, end: np.ndarray | None = None
    ) -> Batch:
        """Read B segments: frames [start, start + num_frames) of episodes. Frames outside of [0, end) are padding.

        Args:
            episode: (B,) int64 in [0, E).
            start: (B,) int64, may be negative.
            num_frames: number of frames in each segment, T + 1.
            end: (B,) int64. None, or beyond the end of the episode: the length of the episode.
        """
        length = self.lengths[episode]
        end = length if end is None else np.minimum(end, length)
        t = start[:, None] + np.arange(num_frames)  # (B, T + 1)
        mask = (t >= 0) & (t < end[:, None])
        # For padding, any frame is read, and overwritten below.
        inside = np.clip(t, 0, length[:, None] - 1)
        row = self.order[self.first[episode, None] + inside]
        obs = self.frames[row]  # (B, T + 1, C, H, W)
        obs[~mask] = 0
        step = self.rows[row[:, :-1]]  # (B, T)
        step[~(mask[:, :-1] & mask[:, 1:])] = 0
        arrays = {"obs": obs, "mask": mask} | {name: step[name].copy() for name in TRANSITION}
        return Batch(**{name: torch.from_numpy(array) for name, array in arrays.items()})


def damaged(path: Place) -> UserError:
    """Return the error for a file with invalid content."""
    return UserError(f"{path} is damaged; restore the folder from a copy")


def map_file(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray:
    """Memory-map the first rows of a file as a read-only array.

    Raises:
        UserError: the file is missing or too short.
    """
    try:
        size = file_size(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; restore the folder from a copy") from error
    if size < dtype.itemsize * math.prod(shape):
        raise UserError(f"{path} is shorter than its index says; restore the folder from a copy")
    # An empty file cannot be memory-mapped.
    return np.asarray(np.memmap(path, dtype, "r", shape=shape)) if shape[0] else np.empty(shape, dtype)
