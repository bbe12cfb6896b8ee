"""Threads, and processes, that share the work on a batch."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch

from adamas.core.distributed import ALONE, Group
from adamas.core.errors import UserError

T = TypeVar("T")


def num_cores() -> int:
    """Of this machine, those that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Workers:
    """A thread for every shard of a batch, up to one a core; in one process or shared out among those of a group.

    Threads rather than processes: PyTorch computes without holding Python's lock, so they keep several cores
    busy and share the weights at no cost. Threads within each operation
    (:attr:`~adamas.core.runtime.RuntimeConfig.threads`) meet hundreds of times in an update, these once; so these
    come first, and share out the others among themselves.
    """

    def __init__(self, num_shards: int, group: Group = ALONE, threads: bool = True) -> None:
        """``threads`` False: one shard after the other."""
        if num_shards % group.size:
            raise UserError(
                f"num_shards is {num_shards}; {group.size} processes need a multiple of {group.size}"
            )
        count = num_shards // group.size
        self.num_shards = num_shards
        self.group = group
        self.here = slice(group.rank * count, (group.rank + 1) * count)
        """Which shards are this process's."""
        self._pool = _pool(min(count, num_cores()) if threads else 1)

    def map(self, work: Callable[..., T], *parts: Sequence[Any]) -> list[T]:
        """``list(map(work, *parts))`` at the same time, one call for every shard of this process.

        Every call ends before an error is raised.
        """
        if self._pool is None:
            return list(map(work, *parts))
        futures = [self._pool.submit(work, *part) for part in zip(*parts, strict=True)]
        errors = [error for future in futures if (error := future.exception())]
        if errors:
            raise errors[0]
        return [future.result() for future in futures]


def _pool(num_threads: int) -> ThreadPoolExecutor | None:
    if num_threads == 1:
        return None
    each = max(1, torch.get_num_threads() // num_threads)
    # PyTorch's number of threads belongs to the thread that sets it.
    return ThreadPoolExecutor(num_threads, initializer=torch.set_num_threads, initargs=(each,))
