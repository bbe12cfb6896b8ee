"""Processes that train one model together, each on its share of every batch."""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

PATIENCE = timedelta(days=7)  # the others wait while rank 0 plays and evaluates


class Group:
    """Process number ``rank`` of ``size``. Alone, it is number 0 of 1 and everything here costs nothing."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size

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
            dist.init_process_group(backend, timeout=PATIENCE)
            atexit.register(dist.destroy_process_group)  # its threads must not outlive the interpreter
        return cls(dist.get_rank(), size)

    def mean_(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one dtype and device by their means over all processes."""
        if self.size > 1:
            flat = torch.cat([tensor.flatten() for tensor in tensors])
            dist.all_reduce(flat)
            flat /= self.size
            means = torch.split(flat, [tensor.numel() for tensor in tensors])
            for tensor, mean in zip(tensors, means, strict=True):
                tensor.copy_(mean.view_as(tensor))

    def share(self, value: Any = None) -> Any:
        """What rank 0 passes, in every process; waits for rank 0."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0, device=torch.device("cpu"))
        return values[0]

    def gather(self, value: Any) -> list[Any]:
        """On rank 0 what every process passes, in the order of their ranks; elsewhere nothing."""
        if self.size == 1:
            return [value]
        values = [None] * self.size if self.rank == 0 else None
        dist.gather_object(value, values)
        return values or []


ALONE = Group()
