"""Environments on their way into a store."""

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

LOCK = ".lock"  # in a store's folder
COMMIT_SECONDS = 1.0  # the longest that a recording waits for its next commit, while no episode ends


class Recording:
    """What happens in B environments, step by step.

    Attributes:
        store: where it goes. Who records commits.
        episode: (B,) int64, the number of the running episode of each; ``NEW`` where none has begun.
    """

    def __init__(self, store: EpisodeStore, num_envs: int) -> None:
        self.store = store
        self.episode = np.full(num_envs, NEW)

    def add(self, obs: Tensor, action: Tensor, step: EnvStep) -> None:
        """The frames acted in, (B, C, H, W) uint8, the actions (B, ...), and what came of them.

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
    """Keep other processes from recording into a store, which is first brought up to date with what they committed.

    Raises:
        UserError: another process records into it, or the folder takes no files.
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
    """Commit a recording as it grows, so that a kill or a full disk loses little of it.

    The block gets a function, and calls it after every few steps, when the steps of all environments are stored
    completely. The function commits if an episode has ended since the last commit, or if the last commit was at least
    :data:`COMMIT_SECONDS` ago. When the block ends, everything is committed. If it raises, everything that was stored
    at the last call is committed.

    Raises:
        UserError: the disk is full.
    """

    def num_ended() -> int:
        return store.num_rows - store.num_steps  # an episode that has ended has a row more than steps

    rows, ended, since = store.num_rows, num_ended(), time.monotonic()

    def stored() -> None:
        nonlocal rows, ended, since
        rows = store.num_rows
        if num_ended() > ended or time.monotonic() - since >= COMMIT_SECONDS:
            store.commit()
            ended, since = num_ended(), time.monotonic()

    try:
        yield stored
    except BaseException:
        with contextlib.suppress(UserError):  # the first error is the one to tell of
            store.truncate(rows)  # without a step that is stored in part
        raise
    store.commit()
