"""Threads that share the work on a batch."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Workers:
    """As many threads as a batch has shards.

    Threads rather than processes: PyTorch computes without holding Python's lock, so they keep several cores
    busy and share the weights at no cost. Threads within each operation
    (:attr:`~adamas.core.runtime.RuntimeConfig.threads`) meet hundreds of times in an update, these once.
    """

    def __init__(self, num_shards: int) -> None:
        self.num_shards = num_shards
        self._pool = ThreadPoolExecutor(num_shards) if num_shards > 1 else None

    def map(self, work: Callable[[int], T]) -> list[T]:
        """``[work(0), work(1), ...]``, computed at the same time; every shard ends before an error is raised."""
        if self._pool is None:
            return [work(0)]
        futures = [self._pool.submit(work, shard) for shard in range(self.num_shards)]
        errors = [error for future in futures if (error := future.exception())]
        if errors:
            raise errors[0]
        return [future.result() for future in futures]
