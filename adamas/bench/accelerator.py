"""Synchronisation, peak memory and description of a device. Devices other than CUDA get the nearest equivalent."""

from __future__ import annotations

import resource
import subprocess
import sys
from dataclasses import dataclass

import torch


def wait(device: torch.device) -> None:
    """Synchronise: wait until the device has finished all its queued work."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def reset_peak_memory(device: torch.device) -> None:
    """Reset the peak-memory counter of a GPU. Does nothing on a CPU, where the peak of the process is measured."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_bytes(device: torch.device) -> int:
    """Peak memory in bytes: on a GPU of tensors since :func:`reset_peak_memory`, elsewhere of the whole process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)


@dataclass(frozen=True, kw_only=True)
class CudaDetails:
    """Details of a CUDA device: the versions of its driver and of CUDA, and its memory in bytes."""

    driver: str
    cuda: str | None
    free_bytes: int
    total_bytes: int


def device_name(device: torch.device) -> str:
    """The name of a CUDA device, and the type of any other device."""
    return torch.cuda.get_device_name() if device.type == "cuda" else device.type


def cuda_details() -> CudaDetails:
    """The details of the current CUDA device."""
    free, total = torch.cuda.mem_get_info()
    return CudaDetails(driver=_driver(), cuda=torch.version.cuda, free_bytes=free, total_bytes=total)


def _driver() -> str:
    """The version of the NVIDIA driver, or "unknown"."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip().splitlines()[0] if done.returncode == 0 and done.stdout.strip() else "unknown"
