"""Threads, and processes, that share the work on a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from adamas.core.distributed import ALONE, Group
from adamas.core.errors import UserError

T = TypeVar("T")


class Workers:
    """As many threads as a batch has shards, in one process or shared out among those of a group.

    Threads rather than processes: PyTorch computes without holding Python's lock, so they keep several cores
    busy and share the weights at no cost. Threads within each operation
    (:attr:`~adamas.core.runtime.RuntimeConfig.threads`) meet hundreds of times in an update, these once.
    """

    def __init__(self, num_shards: int, group: Group = ALONE) -> None:
        if num_shards % group.size:
            raise UserError(
                f"num_shards is {num_shards}; {group.size} processes need a multiple of {group.size}"
            )
        count = num_shards // group.size
        self.num_shards = num_shards
        self.group = group
        self.here = slice(group.rank * count, (group.rank + 1) * count)
        """Which shards are this process's."""
        self._pool = ThreadPoolExecutor(count) if count > 1 else None

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
