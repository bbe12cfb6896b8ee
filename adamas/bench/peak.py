"""How fast a machine convolves: what the speed of a network is compared with."""

from __future__ import annotations

import time
from typing import NamedTuple

import torch

from adamas.bench.accelerator import wait
from adamas.core import runtime
from adamas.core.runtime import RuntimeConfig
from adamas.core.workers import num_cores


class Convolution(NamedTuple):
    """A 3x3 convolution of square images that keeps the number of channels."""

    channels: int
    size: int  # height and width of an image, in pixels


CONVOLUTIONS = (Convolution(64, 64), Convolution(256, 32))
"""Two are enough for a peak: one as in the paper's denoiser, and a wide one that is limited by arithmetic alone."""
IMAGES = {"cpu": 8}  # in a batch that fits a processor's cache; other devices get
MANY_IMAGES = 128
SECONDS = 0.2  # for each convolution


def precision_of(config: RuntimeConfig) -> str:
    """In which precision networks compute here: fp32, tf32 or bf16.

    Raises:
        UserError: the device that ``config`` asks for does not exist here.
    """
    return runtime.choose_precision(config.precision, runtime.choose_device(config.device))


@torch.no_grad()
def peak_gflops(device: str, precision: str) -> float:
    """GFLOP/s of the fastest bare convolution here, with all cores of a CPU.

    Leaves the process computing in ``precision``, as :func:`~adamas.core.runtime.setup` does.

    Args:
        device: as in ``RuntimeConfig``.
        precision: fp32, tf32 or bf16.

    Raises:
        UserError: the device does not exist here.
    """
    place = runtime.setup(RuntimeConfig(device=device, precision=precision, compile=False))  # type: ignore[arg-type]
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    threads = torch.get_num_threads()
    torch.set_num_threads(
        num_cores()
    )  # whose work is compared with it may use them all, in threads of its own
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
    """The speed of the fastest of several calls: what disturbs the machine only makes them slower."""
    channels, size = convolution
    images = IMAGES.get(device.type, MANY_IMAGES)
    conv = torch.nn.Conv2d(channels, channels, 3, padding=1, device=device, dtype=dtype)
    conv.to(memory_format=order)  # type: ignore[call-overload]
    x = torch.randn((images, channels, size, size), device=device, dtype=dtype)
    x = x.contiguous(memory_format=order)
    conv(x)  # the first one is slower
    wait(device)
    times: list[float] = []
    while not times or sum(times) < SECONDS / 2:
        began = time.perf_counter()
        conv(x)
        wait(device)
        times.append(time.perf_counter() - began)
    return 2 * images * size**2 * channels**2 * 9 / min(times) / 1e9
