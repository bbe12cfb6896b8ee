"""Fault injection: make a disk full, or kill a process, at every single write of code that writes files."""

from __future__ import annotations

import builtins
import errno
import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from adamas.core.errors import UserError

EFFORT = int(os.environ.get("ADAMAS_FUZZ", "1"))
"""How many times as many cases as usual are tried (``make fuzz``)."""
MOST = 6 * EFFORT  # points that are tried in one test
REMOVING = ("unlink", "rmdir")  # a full disk does not refuse these
MOVING = ("rename", "replace", "link")  # a full disk seldom refuses these


class Faults:
    """Watches all changes to files below a folder.

    Every open for writing, write, fsync, rename, and every change of a folder is a point. ``at`` is called before each,
    with the point's number and kind, and may raise. When it is called for a write, half of the data has been written.
    """

    def __init__(self, folder: Path, at: Callable[[int, str], None]) -> None:
        self.folder, self.at = folder.absolute(), at
        self.count = 0

    def point(self, kind: str, path: Any) -> None:
        if isinstance(path, int) or self.folder in (Path(path).absolute(), *Path(path).absolute().parents):
            self.count += 1
            self.at(self.count, kind)

    @contextmanager
    def watching(self) -> Iterator[None]:
        real_open = builtins.open

        def opened(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            if isinstance(file, int) or not set(mode) & set("wax+"):
                return real_open(file, mode, *arguments, **options)
            self.point("open", file)
            return _Writer(real_open(file, mode, *arguments, **options), file, self)

        def watched(kind: str) -> Callable[..., Any]:
            real = getattr(os, kind)

            def call(*arguments: Any, **options: Any) -> Any:
                # Making a folder that exists is no change: Path.mkdir ignores errors then.
                unchanged = kind == "mkdir" and os.path.isdir(arguments[0])
                if "dir_fd" not in options and not unchanged:
                    self.point(kind, arguments[0])
                return real(*arguments, **options)

            return call

        def os_open(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
            if flags & os.O_CREAT:
                self.point("create", path)
            return real_os_open(path, flags, *arguments, **options)

        real_os_open = os.open
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(builtins, "open", opened)
            patch.setattr(io, "open", opened)
            patch.setattr(os, "open", os_open)
            for kind in ("fsync", "mkdir", *MOVING, *REMOVING):
                patch.setattr(os, kind, watched(kind))
            yield


class _Writer:
    """A file whose every write happens in two halves, with a point between them."""

    def __init__(self, file: Any, path: Any, faults: Faults) -> None:
        self._file, self._path, self._faults = file, path, faults

    def write(self, data: Any) -> int:
        half = len(data) // 2
        self._file.write(data[:half])
        self._file.flush()
        self._faults.point("write", self._path)
        return half + self._file.write(data[half:])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


def chosen(count: int) -> list[int]:
    """At most :data:`MOST` of the points 1 to ``count``, evenly spaced, with the first and the last."""
    most = min(count, MOST)
    return [1 + i * (count - 1) // max(1, most - 1) for i in range(most)]


def full_disks(before: Path, folder: Path, run: Callable[[], object], stays: bool) -> Iterator[str]:
    """Call ``run`` again and again, with the disk full at another point each time; yield after every failure.

    Args:
        before: the content of ``folder`` before each call.
        folder: the folder in which ``run`` works.
        run: writes files, and raises a :class:`UserError` of one line if it cannot.
        stays: whether the disk stays full after that point, or the call at that point is the only one that fails.

    Yields:
        The message of the error.
    """

    def attempt(at: Callable[[int, str], None]) -> int:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(before, folder)
        faults = Faults(folder, at)
        with faults.watching():
            run()
        return faults.count

    for n in chosen(attempt(lambda count, kind: None)):

        def at(count: int, kind: str, n: int = n) -> None:
            if kind not in REMOVING and (count == n or (stays and count > n and kind not in MOVING)):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        try:
            attempt(at)
        except UserError as error:
            assert "\n" not in str(error)
            yield str(error)


def kills(before: Path, folder: Path, run: Callable[[], object]) -> Iterator[int]:
    """Yield the number of each point, with ``folder`` in the state in which a kill at that point would leave it.

    No process is killed. A killed process writes and removes nothing more, so the folder is copied at every point.
    """
    snapshots, real = before.with_name("snapshots"), _Unwatched()
    faults = Faults(folder, lambda count, kind: real.copytree(folder, snapshots / str(count)))
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(before, folder)
    with faults.watching():
        run()
    for n in chosen(faults.count):
        shutil.rmtree(folder)
        (snapshots / str(n)).rename(folder)
        yield n


class _Unwatched:
    """Copies folders without being watched: by the functions as they were when this object was made."""

    def __init__(self) -> None:
        self._open, self._mkdir = builtins.open, os.mkdir

    def copytree(self, source: Path, target: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(builtins, "open", self._open)
            patch.setattr(io, "open", self._open)
            patch.setattr(os, "mkdir", self._mkdir)
            shutil.copytree(source, target)


class Disk:
    """What :func:`disk` counted.

    Attributes:
        done: number of operations so far that write.
        failed: kind of the operation that failed; empty if none has.
    """

    def __init__(self) -> None:
        self.done = 0
        self.failed = ""


@contextmanager
def disk(folder: Path, fail_at: int | None = None) -> Iterator[Disk]:
    """Let the ``fail_at``-th operation that writes below ``folder`` fail, or none. All others succeed."""
    counted = Disk()

    def at(count: int, kind: str) -> None:
        if kind in REMOVING:
            return
        counted.done += 1
        if counted.done == fail_at:
            counted.failed = kind
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Faults(folder, at).watching():
        yield counted


def content(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder, hidden ones too, with its bytes; folders have None."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }
