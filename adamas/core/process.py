"""How a command ends: in one line and with an exit code, for whatever its user can mend."""

from __future__ import annotations

import errno
import sys
import threading
import warnings
from collections.abc import Callable

from adamas.core.errors import UserError

MACHINE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM)
"""Numbers of errors that are no fault of the program's, wherever it meets them."""


def run_command(command: Callable[[], None]) -> None:
    """Run a command. On a mistake of the user's or the machine's print one line and exit with code 2.

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
    except KeyboardInterrupt:
        _stop("interrupted", 130)


def _stop(message: str, code: int) -> None:
    print(f"adamas: {message}", file=sys.stderr)
    sys.exit(code)


def _is_machine_error(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in MACHINE_ERRORS


def _one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    return f"adamas: warning: {message}\n"


def _on_thread_error(args: threading.ExceptHookArgs) -> None:
    """TensorBoard writes in a thread, and raises at its next use what happened there: once is enough."""
    if not _is_machine_error(args.exc_value):
        threading.__excepthook__(args)
