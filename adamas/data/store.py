"""Replay on disk: an append-only store of frames and of the transitions taken from them.

A store is a folder::

    frames.bin   row r: the pixels of one frame, C * H * W bytes
    rows.bin     row r: the episode of that frame and the transition taken from it (view.row_dtype)
    index.json   format version, frame shape, actions, committed rows, checksums of both files; replaced atomically

Several environments are recorded at once, so rows are in order of arrival, and an episode is a list of row numbers.
Episodes are numbered 0, 1, ... in the order of their first rows::

    row          0    1    2    3    4    5    6
    episode      0    1    0    1    0    1*   2         * final: the frame o_T, where no transition starts

The newest row of a running episode holds a transition whose next frame has not arrived yet. This transition is never
returned, so an episode of n rows, running or ended, has n frames and n - 1 transitions.

Files are read through memory maps, so frames are held once, in the page cache. Bytes after the committed rows are left
over from an interrupted write. A reopened store ignores them, and its next rows overwrite them.

A packed dataset (:mod:`adamas.data.packed`), in a folder or in object storage, is opened and read in the same way, but
is read-only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from adamas.core.actions import ActionSpec
from adamas.core.types import Batch, Episode
from adamas.data.checksums import ENTRIES_PER_CHECKSUM, verify
from adamas.data.files import StoreFiles
from adamas.data.index import Index, follow_link, read_index
from adamas.data.locations import Place, join, parse_place
from adamas.data.packed import BLOCKS, PackedFrames, packed_view
from adamas.data.view import FRAMES, ROWS, View, filled_rows, row_dtype

NEW = -1  # instead of an episode's number: a new episode begins

Array = np.ndarray | Tensor  # a NumPy array or a torch tensor in CPU memory


class EpisodeStore:
    """Append-only store of episodes in one folder. Use :meth:`create` or :meth:`open` to get one.

    Only one process may append at a time. Opening and reading never change a file.
    """

    def __init__(self, folder: Place, index: Index) -> None:
        self.folder = folder  # or a URL
        self.packed = index.packed
        self.obs_shape = index.obs_shape  # (C, H, W)
        self.action_spec = index.action_spec
        self.game = index.game
        self._row = row_dtype(index.action_spec)
        self._files = StoreFiles(folder, index)
        self._cached_view: View | None = None
        self._index_rows()

    @classmethod
    def create(
        cls,
        folder: str | Path,
        obs_shape: tuple[int, int, int],
        action_spec: ActionSpec | None = None,
        game: Mapping[str, Any] | None = None,
    ) -> EpisodeStore:
        """Make an empty store.

        Args:
            folder: must be empty, or not exist yet.
            obs_shape: (C, H, W) of the frames.
            action_spec: what the actions are. None: they are numbers of options that have no description.
            game: see :class:`~adamas.data.index.Index`.

        Raises:
            UserError: the folder is in use or cannot be written.
        """
        index = Index(obs_shape=obs_shape, num_rows=0, action_spec=action_spec, game=game)
        return cls(Path(folder), StoreFiles.create(Path(folder), index))

    @classmethod
    def open(cls, folder: Place) -> EpisodeStore:
        """Open a store at its last commit, or a packed dataset, which may be at a URL.

        The checksums of the index and of all rows are verified now; those of frames by :meth:`verify`.

        Raises:
            UserError: a file is missing, damaged or too short, or a newer version wrote the store.
        """
        place = follow_link(parse_place(str(folder)))
        store = cls(place, read_index(place))
        store._verify_small_files()
        return store

    # --- writing -------------------------------------------------------------------------------------------

    def append(
        self, episode: Array, obs: Array, action: Array, reward: Array, terminated: Array, truncated: Array
    ) -> np.ndarray:
        """Append one step of B environments.

        Args:
            episode: (B,) int64, the number of each environment's running episode; ``NEW`` to begin a new one.
            obs: (B, C, H, W) uint8, the frames before the step.
            action: (B,) int64, or (B, D) float32 (:class:`~adamas.core.actions.ActionSpec`).
            reward: (B,) float32.
            terminated: (B,) bool.
            truncated: (B,) bool.

        Returns:
            (B,) int64, the numbers of the episodes, to be passed at the next step.

        Raises:
            TypeError, ValueError: wrong dtype or shape, or an episode that is not running or is given twice.
            UserError: the disk is full. The store is unchanged then.
        """
        episode = np.array(episode, dtype=np.int64)
        new = episode == NEW
        self._check_running(episode[~new])
        episode[new] = self.num_episodes + np.arange(new.sum())
        fields = {"action": action, "reward": reward, "terminated": terminated, "truncated": truncated}
        rows = filled_rows(self._row, episode, **fields)
        self._write(np.asarray(obs), rows)
        self._num_episodes += int(new.sum())
        self._running.update(episode[new].tolist())
        return episode

    def append_final(self, episode: Array, obs: Array) -> None:
        """End K running episodes, (K,) int64, with their last frames, (K, C, H, W) uint8.

        Raises:
            TypeError, ValueError, UserError: as :meth:`append`.
        """
        episode = np.asarray(episode)
        self._check_running(episode)
        rows = filled_rows(self._row, episode, final=np.ones(len(episode), bool))
        self._write(np.asarray(obs), rows)
        self._running.difference_update(episode.tolist())

    def commit(self) -> None:
        """Make all rows survive a crash or a power cut.

        Raises:
            UserError: the disk is full. The previous commit is still valid.
        """
        if not self.packed:  # a packed dataset is read-only
            self._files.commit()

    def truncate(self, num_rows: int) -> None:
        """Drop all rows after the first ``num_rows``, and commit. A run that resumes from a checkpoint does this.

        Raises:
            UserError: the store holds fewer rows, the disk is full, or rows near the new end are damaged.
        """
        self._files.truncate(num_rows)
        self._index_rows()

    def refresh(self) -> None:
        """Read the newest commit, which another process may have made. Rows that were not committed are dropped.

        Raises:
            UserError: as :meth:`open`, except that checksums are not verified.
        """
        self._files = StoreFiles(self.folder, read_index(self.folder))
        self._index_rows()

    @property
    def num_rows(self) -> int:
        """Number of rows, which is the number of frames. :meth:`truncate` takes it to restore this state."""
        return self._files.num_rows

    @property
    def num_steps(self) -> int:
        """Number of actions taken: all rows except the last frames of ended episodes."""
        return self.num_rows - (self.num_episodes - len(self._running))

    @property
    def num_transitions(self) -> int:
        """Number of transitions whose next frame is known: ``num_steps`` minus the number of running episodes."""
        return self.num_rows - self.num_episodes

    @property
    def num_episodes(self) -> int:
        """Number of episodes, ended and running."""
        return self._num_episodes

    @property
    def lengths(self) -> np.ndarray:
        """(E,) int64: number of frames of each episode, oldest first. The same object until the store changes."""
        return self.view.lengths

    @property
    def ended(self) -> np.ndarray:
        """(E,) bool: whether each episode has ended."""
        return self.view.ended

    @property
    def returns(self) -> np.ndarray:
        """(E,) float64: return of each episode so far."""
        return self.view.returns

    @property
    def has_labels(self) -> bool:
        """Whether any reward is not 0, or any episode is terminated."""
        rows = self.view.rows
        return bool(rows["reward"].any() or rows["terminated"].any())

    def episode(self, index: int) -> Episode:
        """Return a copy of episode number ``index``; 0 is the oldest. Raises IndexError if it does not exist."""
        if not 0 <= index < self.num_episodes:
            raise IndexError(f"episode {index} of {self.num_episodes}")
        return self.view.episode(index)

    def __iter__(self) -> Iterator[Episode]:
        """Iterate over copies of all episodes, oldest first."""
        return map(self.episode, range(self.num_episodes))

    def read(self, episode: Array, start: Array, num_frames: int, end: Array | None = None) -> Batch:
        """Read B segments of ``num_frames`` frames. Frames outside of an episode are padding.

        Args:
            episode: (B,) int64 in [0, num_episodes).
            start: (B,) int64, first frame of each segment; a negative one is before the episode begins.
            num_frames: number of frames in each segment, T + 1.
            end: (B,) int64, optional: this frame and all later ones are padding too.
        """
        last = None if end is None else np.asarray(end)
        return self.view.segments(np.asarray(episode), np.asarray(start), num_frames, last)

    @property
    def checksums(self) -> Mapping[str, Sequence[int]] | None:
        """The checksums of each file's blocks, by name of the file; None in stores of older versions."""
        return self._files.checksums

    @property
    def has_checksums(self) -> bool:
        """Whether :meth:`verify` can detect changed pixels. Older versions wrote stores without checksums."""
        return self.packed or self.checksums is not None

    def verify(self) -> Iterator[int]:
        """Read all frames and compare them with their checksums.

        Yields:
            The number of frames checked so far, from time to time.

        Raises:
            UserError: a frame has changed since it was written.
        """
        frames, sums = self.view.frames, self._files.checksums
        if isinstance(frames, np.ndarray):
            yield from () if sums is None else verify(join(self.folder, FRAMES), sums[FRAMES], frames)
            return
        # Decompressing a packed block verifies it.
        for start in range(0, self.num_rows, ENTRIES_PER_CHECKSUM):
            stop = min(start + ENTRIES_PER_CHECKSUM, self.num_rows)
            frames[np.arange(start, stop)]
            yield stop

    @property
    def view(self) -> View:
        """All rows, indexed by episode. The index is rebuilt at the first use after rows were appended."""
        view = self._cached_view  # read once, since another thread may set it to None
        if view is None:
            make = packed_view if self.packed else View.of
            view = self._cached_view = make(self.folder, self.obs_shape, self.num_rows, self._row)
        return view

    def _verify_small_files(self) -> None:
        frames, sums, small = self.view.frames, self.checksums or {}, {ROWS: self.view.rows}
        if isinstance(frames, PackedFrames):
            small[BLOCKS] = frames.starts
        for name, entries in small.items() if self.checksums is not None else ():
            deque(verify(join(self.folder, name), sums.get(name, []), entries), maxlen=0)

    def _index_rows(self) -> None:
        self._cached_view = None
        self._num_episodes = len(self.view.lengths)
        self._running = set(np.flatnonzero(~self.view.ended).tolist())

    def _check_running(self, episode: np.ndarray) -> None:
        numbers = set(episode.tolist())
        if len(numbers) < len(episode) or not numbers <= self._running:
            raise ValueError(f"episodes must be different and running, got {episode.tolist()}")

    def _write(self, obs: np.ndarray, rows: np.ndarray) -> None:
        if obs.dtype != np.uint8:
            raise TypeError(f"pixels must be uint8, got {obs.dtype}")
        if obs.shape != (len(rows), *self.obs_shape):
            raise ValueError(f"frames must be {(len(rows), *self.obs_shape)}, got {obs.shape}")
        self._files.append(obs, rows)
        self._cached_view = None
