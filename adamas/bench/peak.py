"""Peak convolution speed of a machine in GFLOP/s, as a reference for the speed of networks."""

from __future__ import annotations

import time
from typing import NamedTuple

import torch

from adamas.bench.accelerator import wait
from adamas.bench.contents import agent_config
from adamas.core import runtime
from adamas.core.runtime import RuntimeConfig
from adamas.core.workers import num_cores
from adamas.training.config import Config


class Convolution(NamedTuple):
    """A 3x3 convolution of square images with equal numbers of input and output channels."""

    channels: int
    size: int  # height and width of an image, in pixels


CONVOLUTIONS = (Convolution(64, 64), Convolution(256, 32))
"""The convolutions to time: one as in the paper's denoiser, and a wide one that is limited only by arithmetic."""
IMAGES = {"cpu": 8}  # batch size by device type; this one fits into the cache of a CPU
MANY_IMAGES = 128  # batch size on other devices
SECONDS = 0.2  # time for each convolution


def precision_of(config: Config) -> str:
    """The precision in which the networks of ``config`` compute on this machine: fp32, tf32 or bf16.

    Raises:
        UserError: if this machine does not have the device in ``config``.
    """
    device = runtime.choose_device(config.runtime.device)
    return runtime.choose_precision(config.runtime.precision, device, agent_config(config).obs_shape)


@torch.no_grad()
def peak_gflops(device: str, precision: str) -> float:
    """Measure the GFLOP/s of the fastest convolution, on a CPU with all cores.

    Afterwards, networks in this process compute in ``precision``, see :func:`~adamas.core.runtime.setup`.

    Args:
        device: as in ``RuntimeConfig``.
        precision: fp32, tf32 or bf16.

    Raises:
        UserError: if this machine does not have the device.
    """
    place = runtime.setup(RuntimeConfig(device=device, precision=precision, compile=False))  # type: ignore[arg-type]
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    threads = torch.get_num_threads()
    torch.set_num_threads(num_cores())  # the networks that are compared with it may use all cores, too
    try:
        return max(
            _gflops(convolution, order, dtype, place)
            for convolution in CONVOLUTIONS
            for order in (torch.channels_last, torch.contiguous_format)
        )
    finally:
        torch.set_num_threads(threads)


def _gflops(
    convolution: Convolution, order: torch.memory_format, dtype: torch.dtype, device: torch.device
) -> float:
    """Measure the fastest of several calls, because disturbances only make calls slower."""
    channels, size = convolution
    images = IMAGES.get(device.type, MANY_IMAGES)
    conv = torch.nn.Conv2d(channels, channels, 3, padding=1, device=device, dtype=dtype)
    conv.to(memory_format=order)  # type: ignore[call-overload]
    x = torch.randn((images, channels, size, size), device=device, dtype=dtype)
    x = x.contiguous(memory_format=order)
    conv(x)  # warm-up
    wait(device)
    times: list[float] = []
    while not times or sum(times) < SECONDS / 2:
        began = time.perf_counter()
        conv(x)
        wait(device)
        times.append(time.perf_counter() - began)
    return 2 * images * size**2 * channels**2 * 9 / min(times) / 1e9
