"""Record what happens in environments into a store."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from torch import Tensor

from adamas.core.errors import UserError
from adamas.core.types import EnvStep
from adamas.data.index import cannot_write
from adamas.data.store import NEW, EpisodeStore

LOCK = ".lock"  # name of the lock file in a store's folder
COMMIT_SECONDS = 1.0  # longest time between two commits while no episode ends


class Recording:
    """Appends the steps of B environments to a store.

    Attributes:
        store: the store. The caller commits it.
        episode: (B,) int64, the number of each environment's running episode; ``NEW`` if none has begun.
    """

    def __init__(self, store: EpisodeStore, num_envs: int) -> None:
        self.store = store
        self.episode = np.full(num_envs, NEW)

    def add(self, obs: Tensor, action: Tensor, step: EnvStep) -> None:
        """Append one step.

        Args:
            obs: (B, C, H, W) uint8, the frames before the step.
            action: (B,) or (B, D), the actions taken in them.
            step: what the environments returned.

        Raises:
            UserError: the disk is full.
        """
        self.episode = self.store.append(
            self.episode, obs, action, step.reward, step.terminated, step.truncated
        )
        ended = step.ended.numpy()
        if ended.any():
            self.store.append_final(self.episode[ended], step.final_obs)
            self.episode[ended] = NEW


@contextlib.contextmanager
def only_writer(store: EpisodeStore) -> Iterator[None]:
    """Lock a store against other writers while the block runs, and first read what they have committed.

    Raises:
        UserError: another process records into the store, or the folder is not writable.
    """
    lock = FileLock(Path(store.folder) / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(
            f"another process records into {store.folder}; wait for it, or choose another folder"
        ) from None
    except OSError as error:
        raise cannot_write(store.folder, error) from error
    try:
        store.refresh()
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def committing(store: EpisodeStore) -> Iterator[Callable[[], None]]:
    """Commit a recording as it grows, so that a kill or a full disk loses little.

    The block receives a function and calls it after every few steps, when the steps of all environments are stored.
    The function commits if an episode has ended since the last commit, or if the last commit was at least
    :data:`COMMIT_SECONDS` ago. When the block ends, all rows are committed. If the block raises, the rows that were
    stored at the last call are committed.

    Yields:
        The function to call.

    Raises:
        UserError: the disk is full.
    """

    def num_ended() -> int:
        return store.num_rows - store.num_steps  # an ended episode has one more row than it has steps

    rows, ended, since = store.num_rows, num_ended(), time.monotonic()

    def stored() -> None:
        nonlocal rows, ended, since
        rows = store.num_rows
        if num_ended() > ended or time.monotonic() - since >= COMMIT_SECONDS:
            store.commit()
            ended, since = num_ended(), time.monotonic()

    try:
        yield stored
        rows = store.num_rows
        store.commit()
    except BaseException:
        with contextlib.suppress(UserError):  # report the first error rather than this one
            store.truncate(rows)  # drop a step that is stored only in part
        raise
