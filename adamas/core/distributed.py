"""Processes that train one model together, each on its share of every batch."""

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

PATIENCE = timedelta(days=7)
"""How long the other processes wait for rank 0, which plays and evaluates alone."""
LIMIT = timedelta(minutes=10)
"""How far apart in time the processes may reach the same update. The first one may have to wait for a compiler."""


class LostProcessError(UserError):
    """Another process of the group has ended, or has not kept up. The group cannot go on."""


class Group:
    """Process number ``rank`` of ``size``. Alone, it is number 0 of 1 and everything here costs nothing."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size
        self.lost = False
        """A process is gone; nothing is sent any more."""
        self.hosts = [socket.gethostname()]
        """The name of each process's machine, in the order of their ranks."""
        self._orders: dist.ProcessGroup | None = None

    @classmethod
    def join(cls) -> Group:
        """The group that ``torchrun`` started this process in; alone if something else started it.

        On GPUs, each process takes the one of its number on its machine.
        """
        size = int(os.environ.get("WORLD_SIZE", 1))
        if size == 1:
            return cls()
        backend = "gloo"
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
            backend = "cpu:gloo,cuda:nccl"
        if not dist.is_initialized():
            dist.init_process_group(backend, timeout=LIMIT)
            atexit.register(dist.destroy_process_group)  # its threads must not outlive the interpreter
        group = cls(dist.get_rank(), size)
        # Messages on the CPU have a longer timeout of their own: rank 0 may play for hours between two updates.
        group._orders = dist.new_group(backend="gloo", timeout=PATIENCE)
        group.hosts = [""] * size
        dist.all_gather_object(group.hosts, socket.gethostname(), group._orders)
        return group

    def meet(self) -> None:
        """Wait until every process is here.

        The wait is on the CPU, before anything that a GPU would wait for, so that a process which does not come can
        be named.

        Raises:
            LostProcessError: a process has ended, or is not here within :data:`LIMIT` of the first.
        """
        if self.size > 1:
            with self._naming():
                dist.monitored_barrier(self._orders, timeout=LIMIT, wait_all_ranks=True)

    def wait(self) -> None:
        """Wait until every process is here, as long as the others wait for rank 0: some have much to load first.

        Raises:
            LostProcessError: a process has ended.
        """
        if self.size > 1:
            with self._naming():
                dist.barrier(group=self._orders)

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one dtype and device by their sums over all processes.

        Raises:
            LostProcessError: as :meth:`meet`.
        """
        if self.size == 1:
            return
        self.meet()
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        with self._naming():
            dist.all_reduce(flat)
        sums = torch.split(flat, [tensor.numel() for tensor in tensors])
        views = [part.view_as(tensor) for part, tensor in zip(sums, tensors, strict=True)]
        torch._foreach_copy_(list(tensors), views)

    def share(self, value: Any = None) -> Any:
        """Return the value that rank 0 passes, in every process. Others wait for rank 0, up to :data:`PATIENCE`.

        Raises:
            LostProcessError: a process has ended.
        """
        if self.size == 1 or self.lost:
            return value
        values, cpu = [value], torch.device("cpu")
        if self.rank > 0:
            with self._naming():
                dist.recv_object_list(values, src=0, group=self._orders, device=cpu)
        else:
            for rank in range(1, self.size):  # one by one, so that it is known who does not listen any more
                with self._naming([rank]):
                    dist.send_object_list(values, dst=rank, group=self._orders, device=cpu)
        return values[0]

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes in the order of their ranks on rank 0, and an empty list elsewhere.

        Raises:
            LostProcessError: as :meth:`meet`.
        """
        if self.size == 1:
            return [value]
        self.meet()
        values = [None] * self.size if self.rank == 0 else None
        with self._naming():
            dist.gather_object(value, values, group=self._orders)
        return values or []

    @contextmanager
    def _naming(self, ranks: Sequence[int] = ()) -> Iterator[None]:
        """Turn what PyTorch raises about other processes, perhaps ``ranks``, into one line that names them."""
        try:
            yield
        except RuntimeError as error:  # a connection was closed, or somebody did not come in time
            self.lost = True
            if found := re.search(r"Ranks? ([\d, ]+) failed to pass", str(error)):
                ranks = [int(rank) for rank in found[1].split(",")]
            elif self.rank > 0:  # whose connections do not tell
                ranks = [0]
            names = " and ".join(f"rank {rank} on {self.hosts[rank]}" for rank in ranks) or "another process"
            why = f"{names} ended, or did not come within {LIMIT.total_seconds() / 60:g} minutes"
            if ranks == [0]:
                why = f"{names} ended, perhaps because another process did; the output of {names} says why"
            raise LostProcessError(
                f"process {self.rank} of {self.size} cannot go on alone: {why}; start all again with --resume"
            ) from error


ALONE = Group()
