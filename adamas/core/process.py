"""The end of a command: its exit code and its one-line errors, and a clean stop on Ctrl-C."""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TextIO

from adamas.core.errors import Interrupted, UserError

MACHINE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM)
"""Error numbers that the machine causes and the user can correct, such as a full disk."""

BROKEN_PIPE = 128 + signal.SIGPIPE
"""Exit code of a command whose output nobody reads any more, as shells report the end of other programs by SIGPIPE."""


class Stopped(Exception):
    """A long unit of work was given up because the event of :func:`stop_signal` was set."""


def run_command(command: Callable[[], None]) -> None:
    """Run a command and end the process with its exit code.

    An error of the user or the machine, such as a full disk or too little memory, prints one line and exits with code
    2. Ctrl-C exits with code 130. If the program that reads the output ends, as ``head`` does, so does the command,
    quietly and with code :data:`BROKEN_PIPE`. Any other exception is a bug and keeps its traceback. Each warning is one
    line.
    """
    warnings.formatwarning = _one_line
    threading.excepthook = _on_thread_error
    try:
        try:
            _run(command)
        finally:
            sys.stdout.flush()  # here, where an error can be handled, instead of at the exit of Python
    except BrokenPipeError:
        abandoned = [stream for stream in (sys.stdout, sys.stderr) if _is_abandoned(stream)]
        if not abandoned:
            raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in abandoned:  # what is left in them must go somewhere when Python exits
            os.dup2(nowhere, stream.fileno())
        sys.exit(BROKEN_PIPE)


def _run(command: Callable[[], None]) -> None:
    """Run a command. Errors that the user can correct end the process."""
    try:
        command()
    except UserError as error:
        _stop(str(error), 2)
    except Interrupted as error:
        _stop(str(error), 130)
    except OSError as error:
        if not _is_machine_error(error):
            raise
        _stop(f"{error.filename or 'cannot write'}: {error.strerror}; free space or check the folder", 2)
    except (MemoryError, RuntimeError) as error:
        if not _is_memory_error(error):
            raise
        reason = str(error).partition("\n")[0] or "Python could not take any more"
        _stop(f"too little memory ({reason}); choose smaller sizes, or less at a time", 2)
    except KeyboardInterrupt:
        _stop("interrupted", 130)


@contextmanager
def stop_signal() -> Iterator[threading.Event]:
    """An event that the first SIGINT or SIGTERM sets. A second signal has its previous effect."""
    stop = threading.Event()
    signals = (signal.SIGINT, signal.SIGTERM)
    previous: dict[int, Any] = {number: signal.getsignal(number) for number in signals}

    def handle(number: int, frame: FrameType | None) -> None:
        stop.set()
        if os.isatty(2):  # a person is watching; print() is not safe in a signal handler
            os.write(2, b"\nstopping after this update; press Ctrl-C again to stop at once\n")
        signal.signal(number, previous[number])

    for number in signals:
        signal.signal(number, handle)
    try:
        yield stop
    finally:
        for number in signals:
            signal.signal(number, previous[number])


def _stop(message: str, code: int) -> None:
    # A message may quote a file name that contains line breaks.
    print(f"adamas: {' '.join(message.splitlines())}", file=sys.stderr)
    sys.exit(code)


def _is_abandoned(stream: TextIO) -> bool:
    """Whether the stream is a pipe whose reader has ended."""
    poll = select.poll()
    poll.register(stream, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


def _is_machine_error(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in MACHINE_ERRORS


def _is_memory_error(error: BaseException) -> bool:
    """Whether memory ran out. PyTorch raises a RuntimeError for it on a CPU, and an OutOfMemoryError on a GPU."""
    words = ("can't allocate memory", "not enough memory", "Storage size calculation overflowed")
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or any(word in str(error) for word in words)
    )


def _one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    return f"adamas: warning: {' '.join(str(message).split())}\n"


def _on_thread_error(args: threading.ExceptHookArgs) -> None:
    """Ignore errors of the machine in TensorBoard's thread: TensorBoard raises them again in the main thread."""
    if not _is_machine_error(args.exc_value):
        threading.__excepthook__(args)
