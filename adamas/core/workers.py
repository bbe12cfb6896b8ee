"""Data parallelism: threads, of one process or of each process of a group, that compute the shards of a batch."""

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
    """Number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def even_parts(total: int, count: int) -> list[int]:
    """Divide ``total`` into ``count`` sizes that differ by at most 1, the larger ones first."""
    size, rest = divmod(total, count)
    return [size + (i < rest) for i in range(count)]


class Workers:
    """A pool of threads that compute the shards of a batch, in one process or in each process of a group.

    Each process has one thread for every shard, up to one per core. Threads suffice because PyTorch releases Python's
    lock (GIL) while it computes, and they share the weights at no cost. Threads within an operation synchronise
    hundreds of times per update, but the threads of shards only once. Cores are therefore given to shards first, and
    each shard's operations use an equal part of :attr:`~adamas.core.runtime.RuntimeConfig.threads`.

    One shard already keeps a GPU busy. There, shards are computed one after another, to need the memory of only one.
    """

    def __init__(self, num_shards: int, group: Group = ALONE, threads: bool = True) -> None:
        """Divide ``num_shards`` shards among the processes of ``group``.

        Args:
            num_shards: number of shards of every batch, at least one per process.
            group: the processes. If the shards do not divide evenly, the first processes compute one more each.
            threads: whether to compute shards in threads. If False, they are computed one after another.

        Raises:
            UserError: if there are more processes than shards.
        """
        if num_shards < group.size:
            raise UserError(
                f"`num_shards` is {num_shards}, but {group.size} processes need at least one shard each; "
                f"use `num_shards` {group.size}"
            )
        counts = even_parts(num_shards, group.size)
        first = sum(counts[: group.rank])
        self.num_shards = num_shards
        self.group = group
        self.here = slice(first, first + counts[group.rank])
        """The shards of this process."""
        self.threads = threads
        self._pool = _pool(min(counts[group.rank], num_cores()) if threads else 1)

    def split(self, batch_size: int) -> tuple[slice, list[int]]:
        """Choose the samples of a batch that this process computes, and the number of them in each of its shards.

        The sizes of shards differ by at most one sample.
        """
        sizes = even_parts(batch_size, self.num_shards)
        begin, here = sum(sizes[: self.here.start]), sizes[self.here]
        return slice(begin, begin + sum(here)), here

    def map(self, work: Callable[..., T], *parts: Sequence[Any]) -> list[T]:
        """Compute ``list(map(work, *parts))`` in parallel, one call for every shard of this process.

        If a call raises, the others still finish before the first error is raised again.
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
    # PyTorch's number of threads is a setting of the thread that sets it.
    return ThreadPoolExecutor(num_threads, initializer=torch.set_num_threads, initargs=(each,))
