"""How networks compute on this machine: device, threads, precision, compilation, memory."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, ParamSpec

import torch
from torch import Tensor, nn
from torch.utils._triton import has_triton
from torch.utils.checkpoint import checkpoint

from adamas.core.checks import check_range
from adamas.core.errors import UserError

Shape = tuple[int, int, int]
LARGE: Shape = (3, 64, 64)
"""A frame of the paper's size, for which bf16 pays."""
BF16_PIXELS = 32 * 32
"""Number of pixels of a frame from which on bf16 pays. In smaller frames, conversions between fp32 and bf16 take longer
than faster products save (docs/performance.md)."""


@dataclass(frozen=True, kw_only=True)
class RuntimeConfig:
    """Where and how the arithmetic runs."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Device to compute on. auto takes the first that exists of cuda, mps and cpu."""
    threads: int | None = None
    """Number of CPU threads within an operation, at least 1. By default, PyTorch chooses one per core."""
    memory_format: Literal["auto", "channels_last", "contiguous"] = "auto"
    """Memory format of images and convolution weights. auto: channels_last on a CPU, because convolutions are faster
    with it there; contiguous elsewhere, because group normalisation would copy every channels_last image."""
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "auto"
    """Precision of the networks. fp32: everything computes in fp32. bf16: convolutional networks compute in bf16 and
    everything else in fp32; it is slow on processors without bf16 instructions. tf32: everything computes in fp32,
    but the factors of products are rounded to 10 bits, on GPUs that support it. auto: tf32 on CUDA, as in the
    code of Alonso et al. 2024; bf16 on a CPU with bf16 instructions, for frames of 32x32 pixels and more; fp32
    elsewhere."""
    compile: Literal["auto", True, False] = "auto"
    """Whether convolutional networks are compiled with PyTorch's inductor, which fuses their operations. Dreams on a
    GPU also replay them as CUDA graphs. The first calls of each network wait for the compiler, whose results are kept
    in ~/.cache/adamas. Without a working compiler, a message says so and networks run uncompiled. auto: compile for
    dreams on CUDA only, as in the code of Alonso et al. 2024."""
    shard_parameters: bool = False
    """Whether parameters are sharded: of several processes (torchrun), each keeps a part of every parameter of the
    denoiser and the upsampler, of its gradient and of its optimiser state. This is for models that are too big for
    one GPU, and for training on recordings only."""
    checkpoint_activations: bool = False
    """Whether the activations of the U-Net's residual blocks are computed again in the backward pass instead of being
    kept (activation checkpointing). It needs less memory and more time."""
    allocator: Literal["keep", "default"] = "keep"
    """What happens to freed memory on a CPU. keep: it stays with the process, which is faster. default: the C library
    decides."""

    def __post_init__(self) -> None:
        check_range("runtime.threads", self.threads, least=1)


def setup(config: RuntimeConfig, frame: Shape = LARGE) -> torch.device:
    """Apply ``config`` to this process, and return the device to compute on.

    Args:
        config: the settings.
        frame: (C, H, W) of the frames that networks will see, which decides about the precision ``auto``.

    Raises:
        UserError: if this machine does not have the configured device.
    """
    if config.allocator == "keep":
        keep_freed_memory()
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    device = choose_device(config.device, "runtime.device")
    precision = choose_precision(config.precision, device, frame)
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    _mode.dtype = torch.bfloat16 if precision == "bf16" else None
    _mode.compile = config.compile
    if config.compile == "auto" and (device.type != "cuda" or not _compiler_for(device)):
        _mode.compile = False
    _mode.checkpoint_activations = config.checkpoint_activations
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path.home() / ".cache" / "adamas" / "compiled"))
    return device


def choose_precision(name: str, device: torch.device, frame: Shape) -> str:
    """Resolve a precision, which may be auto, on ``device`` for frames (C, H, W): fp32, tf32 or bf16."""
    if name != "auto":
        return name
    if device.type == "cuda":
        return "tf32"
    pays = frame[1] * frame[2] >= BF16_PIXELS
    return "bf16" if device.type == "cpu" and multiplies_bf16() and pays else "fp32"


def choose_memory_format(name: str, device: torch.device) -> torch.memory_format:
    """Resolve a memory format, which may be auto, on ``device``.

    PyTorch's group normalisation (2.13) supports channels_last images on a CPU only. On other devices it makes a
    contiguous copy and returns a contiguous result, which every following convolution would have to convert back.
    """
    last = name == "channels_last" or (name == "auto" and device.type == "cpu")
    return torch.channels_last if last else torch.contiguous_format


def _compiler_for(device: torch.device) -> bool:
    """Whether networks can be compiled for a GPU here. Prints a line if they cannot."""
    if has_triton():
        return True
    print(
        f"dreams are not compiled and are therefore slower (no Triton that works for {device}); install Triton, "
        "or set runtime.compile to False",
        file=sys.stderr,
    )
    return False


def multiplies_bf16() -> bool:
    """Whether this CPU has bf16 instructions (AVX512_BF16 or AMX). Without them bf16 is emulated, which is slow."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, bool)() for probe in probes)


def choose_device(name: str, field: str = "device") -> torch.device:
    """Resolve a device: auto, cpu, cuda or mps. With several GPUs, cuda is the current GPU of this process.

    Args:
        name: the device.
        field: what errors call the argument that named it.

    Raises:
        UserError: if there is no such device, or this machine does not have it.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(name for name, there in available.items() if there)
    if name not in available:
        raise UserError(f"`{field}` is {name!r}; choose from auto, {', '.join(available)}")
    if not available[name]:
        raise UserError(f"`{field}` is {name!r}, but this machine has none; use auto")
    # The index is explicit because the current GPU is a setting of each thread.
    return torch.device("cuda", torch.cuda.current_device()) if name == "cuda" else torch.device(name)


@dataclass
class _Mode:
    """How networks compute, for the whole process. Set by :func:`setup`."""

    dtype: torch.dtype | None = None
    compile: Literal["auto", True, False] = False
    """auto: compile only calls inside :func:`fixed_shapes`, which are replayed as CUDA graphs."""
    checkpoint_activations: bool = False
    """Activation checkpointing."""


_mode = _Mode()
Arguments = ParamSpec("Arguments")


def in_chosen_mode(network: Callable[Arguments, Tensor]) -> Callable[Arguments, Tensor]:
    """Decorate a network's ``forward``: apply autocast and compilation as configured, and return fp32."""
    compiled = functools.cache(lambda mode: torch.compile(network, mode=mode))

    def compute(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Tensor:
        if not _mode.compile:
            return network(*args, **kwargs)
        tensors = [arg for arg in args if isinstance(arg, Tensor)]
        replay = _replay.get() and _graphs_work(tensors[0].device)
        if _mode.compile == "auto" and not replay:
            return network(*args, **kwargs)
        try:
            if replay:
                # The next replay of the CUDA graph overwrites this result.
                return compiled("reduce-overhead")(*args, **kwargs).clone()
            for tensor in tensors:  # compile once for all batch sizes
                torch._dynamo.maybe_mark_dynamic(tensor, 0)
            return compiled(None)(*args, **kwargs)
        except torch._dynamo.exc.TorchDynamoException as error:
            _mode.compile = False
            cause = getattr(error, "inner_exception", error)
            reason = str(cause).strip().partition("\n")[0] or type(cause).__name__
            print(
                f"networks are not compiled and are therefore slower ({reason}); install a compiler, "
                "or set runtime.compile to False",
                file=sys.stderr,
            )
            return network(*args, **kwargs)

    @functools.wraps(network)
    def forward(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Tensor:
        if _mode.dtype is None:
            return compute(*args, **kwargs)
        device = next(arg.device for arg in args if isinstance(arg, Tensor))
        with torch.autocast(device.type, _mode.dtype, cache_enabled=False):  # threads would share the cache
            return compute(*args, **kwargs).float()

    return forward


def checkpointed(block: nn.Module, *args: Tensor) -> Tensor:
    """Call ``block(*args)``, with activation checkpointing if ``RuntimeConfig.checkpoint_activations`` is set.

    With checkpointing, activations are recomputed in the backward pass. The block must not draw random numbers.
    """
    if _mode.checkpoint_activations and torch.is_grad_enabled():
        return checkpoint(block, *args, use_reentrant=False, preserve_rng_state=False)
    return block(*args)


_replay: ContextVar[bool] = ContextVar("replay", default=False)


@contextmanager
def fixed_shapes() -> Iterator[None]:
    """Replay compiled networks inside this context as CUDA graphs. Does nothing for other networks.

    Use it where networks run many times at one batch size and without gradients. A CUDA graph launches all kernels
    of a network at once, so that the GPU does not wait for Python between kernels.
    """
    token = _replay.set(True)
    try:
        yield
    finally:
        _replay.reset(token)


def _graphs_work(device: torch.device) -> bool:
    # PyTorch's CUDA graphs only work in the thread that imported it.
    return device.type == "cuda" and threading.current_thread() is threading.main_thread()


def place(module: nn.Module, config: RuntimeConfig, device: torch.device) -> None:
    """Move a module to ``device``, with its weights in the memory format of ``config``.

    Convolutions return images in the memory format of their weights.
    """
    order = choose_memory_format(config.memory_format, device)
    module.to(device=device)
    module.to(memory_format=order)  # type: ignore[call-overload]


def device_of(module: nn.Module) -> torch.device:
    """The device of a module's parameters."""
    return next(module.parameters()).device


def keep_freed_memory() -> None:
    """Make glibc keep freed memory instead of returning it to the system after every operation.

    By default, glibc maps new memory for each large activation, and its pages are faulted in one by one. On a CPU
    this takes more time than the arithmetic. Does nothing if the C library is not glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # malloc.h
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((mmap_max, 0), (trim_threshold, 2**31 - 1), (top_pad, 64 * 2**20))
    for option, value in settings:
        mallopt(option, value)
