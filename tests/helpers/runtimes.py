"""The settings with which networks are computed on a CPU."""

from __future__ import annotations

import torch

from adamas.core import runtime
from adamas.core.runtime import RuntimeConfig

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def use(**fields: object) -> RuntimeConfig:
    config = RuntimeConfig(device="cpu", allocator="default", **fields)  # type: ignore[arg-type]
    runtime.setup(config)
    return config
