"""What only CUDA can measure or tell, with the nearest equivalent on other devices."""

from __future__ import annotations

import resource
import subprocess
import sys
from typing import Any

import torch


def wait(device: torch.device) -> None:
    """Wait until the device has finished all work that it was given."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def forget_peak(device: torch.device) -> None:
    """Reset the peak of memory to what is in use now. Does nothing on a CPU: its peak is that of the process."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_bytes(device: torch.device) -> int:
    """Peak memory in bytes: on a GPU that of tensors since :func:`forget_peak`, on a CPU that of the whole process."""
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
