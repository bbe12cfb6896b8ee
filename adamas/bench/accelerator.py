"""What CUDA alone can be asked, in one place, with the nearest answer that other devices have."""

from __future__ import annotations

import resource
import subprocess
import sys
from typing import Any

import torch


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def forget_peak(device: torch.device) -> None:
    """Let the peak of memory begin at what is in use now. Does nothing on a CPU, whose peak is the process's."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_bytes(device: torch.device) -> int:
    """The most memory that tensors took on a GPU since :func:`forget_peak`; on a CPU, that the process ever took."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)


def describe(device: torch.device) -> dict[str, Any]:
    """A GPU by its name, driver and memory in bytes; a CPU by its type alone."""
    if device.type != "cuda":
        return {"device": device.type}
    free, total = torch.cuda.mem_get_info()
    return {
        "device": torch.cuda.get_device_name(),
        "driver": _driver(),
        "cuda": torch.version.cuda,
        "free_bytes": free,
        "total_bytes": total,
    }


def _driver() -> str:
    """The version of NVIDIA's driver."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip().splitlines()[0] if done.returncode == 0 and done.stdout.strip() else "unknown"
