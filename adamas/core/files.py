"""Atomic writes: files and folders are written under a temporary name, synced (fsync), then renamed.

A kill, a crash or a full disk therefore never leaves a partly written file under its final name.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from adamas.core.errors import UserError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Replace a file atomically: the block writes a temporary file, which is renamed to ``path`` when the block ends.

    A reader sees the old file or the complete new one, never a part. The temporary name has the suffix of ``path``, for
    libraries that choose a format by it. If the block raises, the temporary file is removed. One that a killed process
    left behind is overwritten.

    Args:
        path: the final path. Its folder must exist. An existing file is replaced.

    Yields:
        The temporary path, in the same folder.

    Raises:
        OSError: if the file cannot be written or renamed. ``path`` is then unchanged.
    """
    temporary = temporary_path(path)
    try:
        yield temporary
        sync(temporary)
        move_into_place(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def move_into_place(finished: Path, path: Path) -> None:
    """Rename a file or folder whose content has been synced, and sync the folder that holds the new name.

    Raises:
        OSError: it cannot be renamed, or ``path`` is a folder that is not empty.
    """
    os.replace(finished, path)
    sync(path.parent)


@contextmanager
def creating(path: Path) -> Iterator[Path]:
    """Create a file atomically, like :func:`replacing`, but never replace an existing one.

    Every process uses its own temporary name, so that two processes never write into the same file.

    Raises:
        FileExistsError: if ``path`` exists, now or when the block ends. It is left unchanged.
        OSError: if the file cannot be written. The temporary file is removed.
    """
    with _creating(path, folder=False) as temporary:
        yield temporary


@contextmanager
def creating_folder(path: Path) -> Iterator[Path]:
    """Create a folder atomically, like :func:`creating`: it gets its final name once it is complete."""
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
    """A new file or folder. ``path`` is its temporary path inside the block, and its final path afterwards."""

    path: Path


@contextmanager
def creating_numbered(path: Path, folder: bool = False) -> Iterator[Draft]:
    """Create a file or folder atomically, under the first free of the names ``name``, ``name-2``, ``name-3``, ...

    Missing parent folders are created, and removed again if the block fails. The temporary file or folder is created
    before the block begins, so that a path which cannot be written to fails at once.

    Raises:
        OSError: as for :func:`creating_folder`.
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
    """Make an empty temporary file or folder for this process. It is removed after the block unless it was renamed."""
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    _remove(temporary)  # left behind by a killed process that had the same process id
    try:
        temporary.mkdir() if folder else temporary.touch()
        yield temporary
    finally:
        _remove(temporary)


def _place(temporary: Path, path: Path) -> None:
    """Sync a file or folder and give it its final name. Raises FileExistsError if ``path`` exists."""
    for part in (*temporary.rglob("*"), temporary):
        sync(part)
    if os.path.lexists(path):
        raise _exists(path)
    (_rename_folder if temporary.is_dir() else _rename_file)(temporary, path)
    try:
        sync(path.parent)
    except OSError:
        _remove(path)  # the caller gets an error, so the file must not exist
        raise


def _place_numbered(temporary: Path, path: Path) -> Path:
    """Give a file or folder the first free name, and return the new path."""
    for number in itertools.count(1):
        target = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
        with contextlib.suppress(FileExistsError):
            _place(temporary, target)
            return target
    raise AssertionError("itertools.count() never ends")


def _rename_file(temporary: Path, path: Path) -> None:
    """Rename a file without replacing one that another process has created in the meantime."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        os.replace(temporary, path)  # on a file system without hard links, such as exFAT


def _rename_folder(temporary: Path, path: Path) -> None:
    try:
        os.rename(temporary, path)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.ENOTDIR):
            raise
        raise _exists(path) from error  # another process has created it in the meantime


def _exists(path: Path) -> FileExistsError:
    return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def write_file(path: Path, content: str | bytes) -> None:
    """Write a whole file atomically. Text is encoded as UTF-8.

    Raises:
        OSError: if the file cannot be written. An existing file is then unchanged.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def write_numbered(path: Path, content: str) -> Path:
    """Write a text as a whole under the first free of ``name.html``, ``name-2.html``, ...

    Returns:
        The path that was written.

    Raises:
        UserError: the folder cannot be written.
    """
    with blaming(path), creating_numbered(path) as draft:
        draft.path.write_text(content, encoding="utf-8")
    return draft.path


@contextmanager
def blaming(path: Path, others: Sequence[OSError] = ()) -> Iterator[None]:
    """Turn an OSError of the block into a UserError that blames ``path``, unless it is one of ``others``."""
    try:
        yield
    except OSError as error:
        if error in others:
            raise
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; free space or choose another folder"
        ) from error


def read_file(path: Path) -> bytes:
    """Read a whole file.

    Raises:
        OSError: if it cannot be read, or is not a regular file (see :func:`check_regular`).
    """
    check_regular(path)
    return path.read_bytes()


def check_regular(path: Path) -> None:
    """Check that ``path`` is a regular file. Reading from a pipe could block for ever, and a device may have no end.

    Raises:
        OSError: if it is not a regular file, or does not exist.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))


def temporary_path(path: Path) -> Path:
    """The temporary path of :func:`replacing` for ``path``: hidden, in the same folder, with the same suffix."""
    return path.with_name(f".tmp-{path.name}")


def sync(path: Path) -> None:
    """Flush a file, or a folder's list of entries, to the disk (fsync).

    Raises:
        OSError: if it cannot be opened or written.
    """
    if os.name == "nt" and path.is_dir():  # Windows cannot open folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
