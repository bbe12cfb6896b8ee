"""Work in a process of its own: what it finds comes back piece by piece, and it cannot harm or outlast its caller."""

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
from typing import Any, Literal

import torch

from adamas.core.errors import UserError

Finding = dict[str, Any]
Status = Literal["done", "failed", "out of memory", "out of time"]


@dataclass
class Outcome:
    """What became of some work.

    Attributes:
        status: how it ended.
        findings: what it found until then.
        error: in one line; empty where it was done.
        traceback: where the error was raised, for whoever mends it.
        seconds: that it took.
    """

    status: Status
    findings: list[Finding] = field(default_factory=list)
    error: str = ""
    traceback: str = ""
    seconds: float = 0.0


def guarded(work: Callable[[], Iterator[Finding]], seconds: float) -> Outcome:
    """Do ``work`` in a forked process, and kill that process and all that it started after ``seconds``.

    Forked, it has everything imported already. The caller must not have used a GPU: CUDA does not survive a fork.
    What the work prints goes to standard error. Guarded work may call this function itself.
    """
    began = time.monotonic()
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    # Work within work stays in the group of the outer one, and so ends with it.
    own_group = multiprocessing.parent_process() is None
    process = context.Process(target=_do, args=(work, sender, own_group))
    process.start()
    sender.close()  # this process's copy: without it, the pipe ends when the other process does
    findings: list[Finding] = []
    outcome = Outcome("out of time", error=f"stopped after {seconds:.0f} s")
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


def _do(work: Callable[[], Iterator[Finding]], sender: Connection, own_group: bool) -> None:
    """What the forked process does."""
    if own_group:
        os.setsid()  # with all processes that it starts
    os.dup2(2, 1)  # also of the processes that it starts
    try:
        with contextlib.redirect_stdout(sys.stderr):
            for finding in work():
                sender.send(finding)
        outcome = Outcome("done")
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
    process.kill()  # where it has no group of its own, or not yet
    process.join()
