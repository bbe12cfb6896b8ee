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


def even_parts(total: int, count: int) -> list[int]:
    """Sizes of ``count`` parts that make up ``total``, as equal as can be, the larger ones first."""
    size, rest = divmod(total, count)
    return [size + (i < rest) for i in range(count)]


class Workers:
    """The workers that compute a batch's shards: threads of one process, or of each process of a group.

    There is a thread for every shard of this process, up to one a core. Threads rather than processes: PyTorch
    computes without holding Python's lock, so they keep several cores busy and share the weights at no cost. Threads
    within an operation (:attr:`~adamas.core.runtime.RuntimeConfig.threads`) synchronise hundreds of times in an
    update, but the threads of shards only once. So cores are given to shards first, and each shard's operations use
    an equal part of the threads.

    A GPU is busy with one shard already. There, shards are computed one after another, which needs memory for one.
    """

    def __init__(self, num_shards: int, group: Group = ALONE, threads: bool = True) -> None:
        """Share ``num_shards`` shards out among the processes of ``group``.

        Args:
            num_shards: parts of every batch, at least one a process.
            group: the processes; the first ones compute a shard more each where numbers do not divide.
            threads: False: one shard after another.

        Raises:
            UserError: there are more processes than shards.
        """
        if num_shards < group.size:
            raise UserError(
                f"num_shards is {num_shards}, but {group.size} processes need at least one shard each; "
                f"use --num-shards {group.size}"
            )
        counts = even_parts(num_shards, group.size)
        first = sum(counts[: group.rank])
        self.num_shards = num_shards
        self.group = group
        self.here = slice(first, first + counts[group.rank])
        """Which shards are this process's."""
        self.threads = threads
        self._pool = _pool(min(counts[group.rank], num_cores()) if threads else 1)

    def split(self, batch_size: int) -> tuple[slice, list[int]]:
        """Which of a batch's samples are this process's, and how many of them each of its shards has.

        Shards are as equal as can be: they differ by one sample where numbers do not divide.
        """
        sizes = even_parts(batch_size, self.num_shards)
        begin, here = sum(sizes[: self.here.start]), sizes[self.here]
        return slice(begin, begin + sum(here)), here

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
