"""The machine: device, threads, memory. Model code knows none of it."""

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

from adamas.core.errors import UserError


@dataclass(frozen=True)
class RuntimeConfig:
    """Where and how the arithmetic runs."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """auto takes the first that exists of cuda, mps and cpu."""
    threads: int | None = None
    """CPU threads within an operation; None leaves PyTorch's choice, one per core."""
    memory_format: Literal["auto", "channels_last", "contiguous"] = "auto"
    """Memory format of images and convolution weights. auto: channels_last on a CPU, because convolutions are faster
    with it there; contiguous elsewhere, because group normalisation would copy every channels_last image."""
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "auto"
    """bf16: convolutional networks compute in bf16, everything else in fp32; slow on processors without instructions
    for bf16. tf32: everything computes in fp32, but factors of products are rounded to 10 bits, on GPUs that support
    it. auto: tf32 on CUDA, as in the published code; bf16 on a CPU with instructions for it; fp32 elsewhere."""
    compile: Literal["auto", True, False] = "auto"
    """Compile convolutional networks with PyTorch's inductor, which fuses their operations. Dreams on a GPU also replay
    them as CUDA graphs. The first calls of each network wait for the compiler, whose results are kept in
    ~/.cache/adamas. Without a working compiler, one line says so and networks run uncompiled. auto: compile for
    dreams on CUDA only, as in the published code."""
    shard_parameters: bool = False
    """In several processes (torchrun), each keeps a part of every parameter of the denoiser and the upsampler, of its
    gradient and its optimiser's state, for models too big for one GPU. For training on recordings."""
    checkpoint_activations: bool = False
    """Compute what residual blocks did once more on the way back, instead of keeping it: less memory, more time."""
    allocator: Literal["keep", "default"] = "keep"
    """keep: freed memory stays with the process (:func:`keep_freed_memory`)."""

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise UserError(f"runtime.threads must be at least 1, got {self.threads}")


def setup(config: RuntimeConfig) -> torch.device:
    """Apply ``config`` to this process and return the device to compute on.

    Raises:
        UserError: the device that was asked for does not exist here.
    """
    if config.allocator == "keep":
        keep_freed_memory()
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device)
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    _mode.dtype = torch.bfloat16 if precision == "bf16" else None
    _mode.compile = config.compile
    if config.compile == "auto" and (device.type != "cuda" or not _compiler_for(device)):
        _mode.compile = False
    _mode.recompute = config.checkpoint_activations
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path.home() / ".cache" / "adamas" / "compiled"))
    return device


def choose_precision(name: str, device: torch.device) -> str:
    """The precision called ``name`` on ``device``: fp32, tf32 or bf16."""
    if name != "auto":
        return name
    if device.type == "cuda":
        return "tf32"
    return "bf16" if device.type == "cpu" and multiplies_bf16() else "fp32"


def choose_memory_format(name: str, device: torch.device) -> torch.memory_format:
    """The memory format called ``name`` on ``device``.

    PyTorch's group normalisation (2.13) computes channels_last images as they are on a CPU alone. Elsewhere it makes a
    contiguous copy first and returns its result contiguous, so that every convolution would have to turn it back.
    """
    last = name == "channels_last" or (name == "auto" and device.type == "cpu")
    return torch.channels_last if last else torch.contiguous_format


def _compiler_for(device: torch.device) -> bool:
    """Whether programs for a GPU can be compiled here; says so if not."""
    if has_triton():
        return True
    print(
        f"dreams are not compiled and are therefore slower (no Triton that works for {device}); install Triton, "
        "or choose --runtime.compile False",
        file=sys.stderr,
    )
    return False


def multiplies_bf16() -> bool:
    """Whether this CPU has instructions for it (AVX512_BF16 or AMX). Elsewhere it is emulated, and slow."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, bool)() for probe in probes)


def choose_device(name: str) -> torch.device:
    """The device called ``name``: auto, cpu, cuda or mps. Of several GPUs, the process's current one.

    Raises:
        UserError: it does not exist here.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(name for name, there in available.items() if there)
    if not available[name]:
        raise UserError(f"runtime.device is {name!r}, but there is none here; use --runtime.device auto")
    # With its number: what is current differs from thread to thread.
    return torch.device("cuda", torch.cuda.current_device()) if name == "cuda" else torch.device(name)


@dataclass
class _Mode:
    """How networks are computed: chosen by :func:`setup`, for the whole process."""

    dtype: torch.dtype | None = None
    compile: Literal["auto", True, False] = False
    """auto: compile only what is replayed (:func:`fixed_shapes`)."""
    recompute: bool = False


_mode = _Mode()
Arguments = ParamSpec("Arguments")


def in_chosen_mode(network: Callable[Arguments, Tensor]) -> Callable[Arguments, Tensor]:
    """Decorator of a network's ``forward``: computes it as ``RuntimeConfig`` says, with a result in fp32."""
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
                # The next replay writes over this one's result.
                return compiled("reduce-overhead")(*args, **kwargs).clone()
            for tensor in tensors:  # one program for all batch sizes, whichever comes first
                torch._dynamo.maybe_mark_dynamic(tensor, 0)
            return compiled(None)(*args, **kwargs)
        except torch._dynamo.exc.TorchDynamoException as error:
            _mode.compile = False
            reason = str(getattr(error, "inner_exception", error)).strip().splitlines()[0]
            print(
                f"networks are not compiled and are therefore slower ({reason}); install a compiler, "
                "or choose --runtime.compile False",
                file=sys.stderr,
            )
            return network(*args, **kwargs)

    @functools.wraps(network)
    def forward(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Tensor:
        if _mode.dtype is None:
            return compute(*args, **kwargs)
        device = next(arg.device for arg in args if isinstance(arg, Tensor))
        with torch.autocast(device.type, _mode.dtype, cache_enabled=False):  # threads would share it
            return compute(*args, **kwargs).float()

    return forward


def keep_or_recompute(block: nn.Module, *args: Tensor) -> Tensor:
    """``block(*args)``; on the way back its activations are computed again if ``RuntimeConfig`` says so.

    The block must draw no random numbers.
    """
    if _mode.recompute and torch.is_grad_enabled():
        return checkpoint(block, *args, use_reentrant=False, preserve_rng_state=False)
    return block(*args)


_replay: ContextVar[bool] = ContextVar("replay", default=False)


@contextmanager
def fixed_shapes() -> Iterator[None]:
    """Networks inside are computed again and again at one batch size, without gradients: worth a CUDA graph.

    A graph starts all of a network's kernels at once, where a GPU would wait for Python to start each. Acts on
    compiled networks on a GPU alone.
    """
    token = _replay.set(True)
    try:
        yield
    finally:
        _replay.reset(token)


def _graphs_work(device: torch.device) -> bool:
    # PyTorch keeps its graphs with the thread that imported it.
    return device.type == "cuda" and threading.current_thread() is threading.main_thread()


def place(module: nn.Module, config: RuntimeConfig, device: torch.device) -> None:
    """Move a module to ``device``, its weights in the order of ``config.memory_format``.

    Convolutions hand the order of their weights on to the images they compute.
    """
    order = choose_memory_format(config.memory_format, device)
    module.to(device=device)
    module.to(memory_format=order)  # type: ignore[call-overload]


def device_of(module: nn.Module) -> torch.device:
    """Where a module's parameters are."""
    return next(module.parameters()).device


def keep_freed_memory() -> bool:
    """Make glibc keep freed memory instead of returning it to the system after every operation.

    By default each large activation is mapped afresh and its pages faulted in one by one, which on a CPU
    takes more time than the arithmetic. Does nothing where the C library is another one.

    Returns:
        whether it was done.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # malloc.h
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((mmap_max, 0), (trim_threshold, 2**31 - 1), (top_pad, 64 * 2**20))
    return all(mallopt(option, value) == 1 for option, value in settings)
