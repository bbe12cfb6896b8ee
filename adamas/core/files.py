"""Files that a kill, a crash or a full disk cannot leave torn: written beside their place, synced, then renamed."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file under a temporary name, which becomes ``path`` once the block has ended without an exception.

    A reader sees the old file or the complete new one, never a part. The temporary name has the suffix of ``path``, so
    that libraries which choose a format by the suffix choose the right one. It is removed if the block raises; what a
    killed process leaves behind is overwritten by the next attempt.

    Args:
        path: the final place; its folder must exist. A file that is there is replaced.

    Yields:
        the temporary path, in the same folder.

    Raises:
        OSError: the file cannot be written or renamed. ``path`` is then as it was.
    """
    temporary = temporary_path(path)
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


@contextmanager
def creating(path: Path) -> Iterator[Path]:
    """As :func:`replacing`, for a file that must not exist yet.

    Raises:
        FileExistsError: ``path`` exists, now or when the block has ended; it is left as it is.
        OSError: as :func:`replacing`.
    """
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    with replacing(path) as temporary:
        yield temporary
        if os.path.lexists(path):  # made by somebody else meanwhile
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))


def write_file(path: Path, content: str | bytes) -> None:
    """Replace a file's content as a whole; texts are written as UTF-8.

    Raises:
        OSError: the file cannot be written; the old one is untouched.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def temporary_path(path: Path) -> Path:
    """The name under which :func:`replacing` writes ``path``: hidden, in the same folder, with the same suffix."""
    return path.with_name(f".tmp-{path.name}")


def sync(path: Path) -> None:
    """Have the operating system write a file, or a folder's list of files, to the disk now.

    Raises:
        OSError: it cannot be opened or written.
    """
    if os.name == "nt" and path.is_dir():  # Windows cannot open folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
