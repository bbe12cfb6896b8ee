"""How a command ends: when it is asked to, and in one line with an exit code for what its user can mend."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from adamas.core.errors import UserError

MACHINE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM)
"""Numbers of errors that are no fault of the program's, wherever it meets them."""


class Stopped(Exception):
    """The event of :func:`stop_signal` was set in the middle of a long unit of work, which is given up."""


def run_command(command: Callable[[], None]) -> None:
    """Run a command. On a mistake of the user's or the machine's, such as a full disk or too little memory, print one
    line and exit with code 2.

    Ctrl-C ends it with code 130. Any other exception is a fault in the program and keeps its traceback.
    Warnings are printed in one line each.
    """
    warnings.formatwarning = _one_line
    threading.excepthook = _on_thread_error
    try:
        command()
    except UserError as error:
        _stop(str(error), 2)
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
    """An event that SIGINT and SIGTERM set. A second signal acts as if nobody had caught the first."""
    stop = threading.Event()
    signals = (signal.SIGINT, signal.SIGTERM)
    previous: dict[int, Any] = {number: signal.getsignal(number) for number in signals}

    def handle(number: int, frame: FrameType | None) -> None:
        stop.set()
        if os.isatty(2):  # somebody waits; print() is not safe here
            os.write(2, b"\nstopping after this update; once more to stop at once\n")
        signal.signal(number, previous[number])

    for number in signals:
        signal.signal(number, handle)
    try:
        yield stop
    finally:
        for number in signals:
            signal.signal(number, previous[number])


def _stop(message: str, code: int) -> None:
    # One line whatever it quotes: the name of a file may have several.
    print(f"adamas: {' '.join(message.splitlines())}", file=sys.stderr)
    sys.exit(code)


def _is_machine_error(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in MACHINE_ERRORS


def _is_memory_error(error: BaseException) -> bool:
    """Whether memory could not be taken. PyTorch says so by a message on CPUs, and by a class of its own on GPUs."""
    words = ("can't allocate memory", "not enough memory", "Storage size calculation overflowed")
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or any(word in str(error) for word in words)
    )


def _one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    return f"adamas: warning: {message}\n"


def _on_thread_error(args: threading.ExceptHookArgs) -> None:
    """TensorBoard writes in a thread, and raises at its next use what happened there: once is enough."""
    if not _is_machine_error(args.exc_value):
        threading.__excepthook__(args)
