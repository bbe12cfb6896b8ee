"""Execution of work in a subprocess with a timeout: results are streamed, and a crash does not affect the caller."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from typing import Generic, Literal, TypeVar

import torch

from adamas.core.errors import UserError

Found = TypeVar("Found")
Status = Literal["done", "failed", "out of memory", "out of time"]


@dataclass
class Outcome(Generic[Found]):
    """The outcome of work in a subprocess.

    Attributes:
        status: how the work ended.
        findings: the results until then.
        error: the error in one line; "" if the status is done.
        traceback: the traceback of the error, for debugging.
        seconds: the duration of the work.
    """

    status: Status
    findings: list[Found] = field(default_factory=list)
    error: str = ""
    traceback: str = ""
    seconds: float = 0.0


def guarded(work: Callable[[], Iterator[Found]], seconds: float) -> Outcome[Found]:
    """Execute ``work`` in a forked process. After ``seconds``, kill that process and all processes that it started.

    What ``work`` yields must be values that can be pickled. A forked process need not import anything again. The caller
    must not have used a GPU, because CUDA does not survive a fork. Output of the work goes to standard error. Work may
    call this function itself.
    """
    began = time.monotonic()
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    # Nested work stays in the process group of the outer work, and so is killed with it.
    own_group = multiprocessing.parent_process() is None
    process = context.Process(target=_do, args=(work, sender, own_group))
    process.start()
    sender.close()  # close this process's copy, so that the pipe ends when the other process does
    findings: list[Found] = []
    outcome: Outcome[Found] = Outcome("out of time", error=f"stopped after {seconds:.0f} s")
    try:
        while receiver.poll(max(0.0, began + seconds - time.monotonic())):
            message = receiver.recv()
            if isinstance(message, Outcome):
                outcome = message
                break
            findings.append(message)
    except EOFError:
        process.join()
        outcome = Outcome("failed", error=f"the process ended with exit code {process.exitcode}")
    finally:
        _end(process, own_group)
        receiver.close()
    outcome.findings, outcome.seconds = findings, time.monotonic() - began
    return outcome


def _do(work: Callable[[], Iterator[object]], sender: Connection, own_group: bool) -> None:
    """Execute ``work`` in the forked process, and send its findings and outcome."""
    if own_group:
        os.setsid()  # a new process group, which includes all processes that it starts
    os.dup2(2, 1)  # redirects the standard output of the processes that it starts as well
    try:
        with contextlib.redirect_stdout(sys.stderr):
            for finding in work():
                sender.send(finding)
        outcome: Outcome[object] = Outcome("done")
    except Exception as error:
        no_memory = isinstance(error, torch.cuda.OutOfMemoryError | MemoryError)
        message = str(error).strip().splitlines()[:1] or [""]
        line = message[0] if isinstance(error, UserError) else f"{type(error).__name__}: {message[0]}"
        outcome = Outcome(
            "out of memory" if no_memory else "failed", error=line, traceback=traceback.format_exc()
        )
    sender.send(outcome)


def _end(process: ForkProcess, own_group: bool) -> None:
    if own_group and process.pid is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()  # in case it has no process group of its own, or not yet
    process.join()
