"""Data-parallel training: a group of processes (torchrun), each computing a part of every batch."""

from __future__ import annotations

import atexit
import os
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from adamas.core.errors import UserError

RANK_0_TIMEOUT = timedelta(days=7)
"""Timeout of the other processes while rank 0 collects experience and evaluates alone."""
UPDATE_TIMEOUT = timedelta(minutes=10)
"""Timeout of one update: how far apart in time the processes may reach it. It allows for compiling the networks."""


class LostProcessError(UserError):
    """Another process of the group has ended or timed out. The group cannot continue."""


class Group:
    """A process group, with collective operations that return at once in a group of one. ``rank`` is this process."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size
        self.lost = False
        """Whether a process of the group is gone. Nothing is sent any more once it is."""
        self.hosts = [socket.gethostname()]
        """The host name of each process, in the order of their ranks."""
        self._orders: dist.ProcessGroup | None = None

    @classmethod
    def join(cls) -> Group:
        """Join the group that ``torchrun`` started this process in; a group of one if torchrun did not start it.

        On GPUs, each process uses the GPU with its local rank.
        """
        size = int(os.environ.get("WORLD_SIZE", 1))
        if size == 1:
            return cls()
        backend = "gloo"
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
            backend = "cpu:gloo,cuda:nccl"
        if not dist.is_initialized():
            dist.init_process_group(backend, timeout=UPDATE_TIMEOUT)
            atexit.register(dist.destroy_process_group)  # its threads must stop before the interpreter does
        group = cls(dist.get_rank(), size)
        # Messages on the CPU have a longer timeout, because rank 0 may play for hours between two updates.
        group._orders = dist.new_group(backend="gloo", timeout=RANK_0_TIMEOUT)
        group.hosts = [""] * size
        dist.all_gather_object(group.hosts, socket.gethostname(), group._orders)
        return group

    def barrier(self) -> None:
        """Wait at a barrier until every process has reached it, at most :data:`UPDATE_TIMEOUT`.

        The CPU waits, before any GPU collective is queued, so that the error can name the missing process.

        Raises:
            LostProcessError: if a process has ended, or does not arrive within :data:`UPDATE_TIMEOUT` of the first.
        """
        if self.size > 1:
            with self._naming():
                dist.monitored_barrier(self._orders, timeout=UPDATE_TIMEOUT, wait_all_ranks=True)

    def long_barrier(self) -> None:
        """Wait at a barrier for at most :data:`RANK_0_TIMEOUT`: some processes load much data before they reach it.

        Raises:
            LostProcessError: if a process has ended.
        """
        if self.size > 1:
            with self._naming():
                dist.barrier(group=self._orders)

    def all_reduce(self, tensors: Sequence[Tensor]) -> None:
        """All-reduce: replace tensors of one dtype and device by their sums over all processes.

        Raises:
            LostProcessError: as for :meth:`barrier`.
        """
        if self.size == 1:
            return
        self.barrier()
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        with self._naming():
            dist.all_reduce(flat)
        sums = torch.split(flat, [tensor.numel() for tensor in tensors])
        views = [part.view_as(tensor) for part, tensor in zip(sums, tensors, strict=True)]
        torch._foreach_copy_(list(tensors), views)

    def broadcast(self, value: Any = None) -> Any:
        """Broadcast: return rank 0's ``value`` in every process. The others wait up to :data:`RANK_0_TIMEOUT`.

        Raises:
            LostProcessError: if a process has ended.
        """
        if self.size == 1 or self.lost:
            return value
        values, cpu = [value], torch.device("cpu")
        if self.rank > 0:
            with self._naming():
                dist.recv_object_list(values, src=0, group=self._orders, device=cpu)
        else:
            for rank in range(1, self.size):  # one by one, so that a failed send tells which process is gone
                with self._naming([rank]):
                    dist.send_object_list(values, dst=rank, group=self._orders, device=cpu)
        return values[0]

    def gather(self, value: Any) -> list[Any]:
        """Gather: return the values of all processes on rank 0, in the order of their ranks, and [] elsewhere.

        Raises:
            LostProcessError: as for :meth:`barrier`.
        """
        if self.size == 1:
            return [value]
        self.barrier()
        values = [None] * self.size if self.rank == 0 else None
        with self._naming():
            dist.gather_object(value, values, group=self._orders)
        return values or []

    @contextmanager
    def _naming(self, ranks: Sequence[int] = ()) -> Iterator[None]:
        """Turn PyTorch's errors about other processes into one line that names them, or else ``ranks``."""
        try:
            yield
        except RuntimeError as error:  # a connection was closed, or a process did not arrive in time
            self.lost = True
            if found := re.search(r"Ranks? ([\d, ]+) failed to pass", str(error)):
                ranks = [int(rank) for rank in found[1].split(",")]
            elif self.rank > 0:  # other ranks only have a connection to rank 0
                ranks = [0]
            names = " and ".join(f"rank {rank} on {self.hosts[rank]}" for rank in ranks) or "another process"
            why = f"{names} ended, or did not respond within {UPDATE_TIMEOUT.total_seconds() / 60:g} minutes"
            if ranks == [0]:
                why = f"{names} ended, perhaps because another process did; the output of {names} says why"
            raise LostProcessError(
                f"process {self.rank} of {self.size} cannot go on alone: {why}; start all processes "
                "again to resume the run"
            ) from error


ALONE = Group()
