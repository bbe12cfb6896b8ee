"""Files that a kill, a crash or a full disk cannot leave torn: written beside their place, synced, then renamed.

And a way to read files that others made.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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

    Every process has a temporary name of its own, so that two of them never write into the same file.

    Raises:
        FileExistsError: ``path`` exists, now or when the block has ended; it is left as it is.
        OSError: the file cannot be written; nothing is left of it.
    """
    with _creating(path, folder=False) as temporary:
        yield temporary


@contextmanager
def creating_folder(path: Path) -> Iterator[Path]:
    """As :func:`creating`, for a folder, which appears under its name once it is complete."""
    with _creating(path, folder=True) as temporary:
        yield temporary


@contextmanager
def _creating(path: Path, folder: bool) -> Iterator[Path]:
    if os.path.lexists(path):
        raise _exists(path)
    with _drafting(path, folder) as temporary:
        yield temporary
        _place(temporary, path)


@dataclass
class Draft:
    """A new file or folder. ``path`` is where to write it, and where it is once the block around it has ended."""

    path: Path


@contextmanager
def creating_numbered(path: Path, folder: bool = False) -> Iterator[Draft]:
    """As :func:`creating` and :func:`creating_folder`, under the first free of ``name``, ``name-2``, ``name-3``, ...

    The folders above are made if need be (and removed again if the block fails), and the temporary file or folder is
    made before the block begins: a place that cannot be written to is found out at once.

    Raises:
        OSError: as :func:`creating_folder`.
    """
    if path.name in ("", ".."):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    missing = [parent for parent in path.parents if not parent.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _drafting(path, folder) as temporary:
            draft = Draft(temporary)
            yield draft
            draft.path = _place_numbered(temporary, path)
    except BaseException:
        for parent in missing:
            with contextlib.suppress(OSError):
                parent.rmdir()  # only if it is empty
        raise


@contextmanager
def _drafting(path: Path, folder: bool) -> Iterator[Path]:
    """An empty file or folder for this process alone. It is gone when the block has ended, unless it was renamed."""
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    _remove(temporary)  # left behind by a killed process that had the same number
    try:
        temporary.mkdir() if folder else temporary.touch()
        yield temporary
    finally:
        _remove(temporary)


def _place(temporary: Path, path: Path) -> None:
    """Give a file or folder its final name. Raises FileExistsError: ``path`` exists."""
    for part in (*temporary.rglob("*"), temporary):
        sync(part)
    if os.path.lexists(path):
        raise _exists(path)
    (_rename_folder if temporary.is_dir() else _rename_file)(temporary, path)
    try:
        sync(path.parent)
    except OSError:
        _remove(path)  # the caller is told that it is not there
        raise


def _place_numbered(temporary: Path, path: Path) -> Path:
    """Give a file or folder the first free name, and return that."""
    for number in itertools.count(1):
        target = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
        with contextlib.suppress(FileExistsError):
            _place(temporary, target)
            return target
    raise AssertionError("itertools.count() never ends")


def _rename_file(temporary: Path, path: Path) -> None:
    """Rename a file, but never replace what another process has made under that name meanwhile."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        os.replace(temporary, path)  # on a file system without links, such as exFAT


def _rename_folder(temporary: Path, path: Path) -> None:
    try:
        os.rename(temporary, path)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.ENOTDIR):
            raise
        raise _exists(path) from error  # another process has made it meanwhile


def _exists(path: Path) -> FileExistsError:
    return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def write_file(path: Path, content: str | bytes) -> None:
    """Replace a file's content as a whole; texts are written as UTF-8.

    Raises:
        OSError: the file cannot be written; the old one is untouched.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def read_file(path: Path) -> bytes:
    """The content of a file.

    Raises:
        OSError: it cannot be read, or :func:`check_regular` refuses it.
    """
    check_regular(path)
    return path.read_bytes()


def check_regular(path: Path) -> None:
    """Refuse what is no file: reading from a pipe could wait for ever, and reading from a device never end.

    Raises:
        OSError: it is no regular file, or does not exist.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))


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
