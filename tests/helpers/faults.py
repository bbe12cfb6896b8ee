"""Fault injection: a disk that fills up, or a kill, at every single write of something that writes files."""

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

MOST = 6  # points that are tried of something, in the everyday tests
REMOVING = ("unlink", "rmdir")  # what a full disk does not refuse
MOVING = ("rename", "replace")  # what it seldom does


class Faults:
    """Watches what is done to files below a folder.

    Every open for writing, write, fsync, rename, and every change of a folder is a point. ``at`` is called before each,
    with its number and kind, and may raise; a write is half done by then.
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
                if "dir_fd" not in options:
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
            for kind in ("fsync", "mkdir", "rename", "replace", "unlink", "rmdir"):
                patch.setattr(os, kind, watched(kind))
            yield


class _Writer:
    """A file that is written to in halves."""

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
    """The points to try: some from the first to the last, and more if ADAMAS_FUZZ says so (``make fuzz``)."""
    most = min(count, MOST * int(os.environ.get("ADAMAS_FUZZ", "1")))
    return [1 + i * (count - 1) // max(1, most - 1) for i in range(most)]


def full_disks(before: Path, folder: Path, run: Callable[[], object], stays: bool) -> Iterator[str]:
    """Let the disk be full at one point of ``run`` after the other; yields after every failure.

    Args:
        before: what is in ``folder`` each time that ``run`` begins.
        folder: that ``run`` works in.
        run: something that writes files and, if it cannot, raises a :class:`UserError` of one line.
        stays: whether the disk stays full, or that one call fails alone.

    Yields:
        what it says.
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
    """Let ``run`` be killed at one point after the other; yields their numbers, with ``folder`` as the kill leaves it.

    The process is not killed: what a kill at a point would leave is what the folder holds at that moment, since Python
    writes nothing more, and removes nothing.
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
    """Copies folders by functions as they are when this is made."""

    def __init__(self) -> None:
        self._open, self._mkdir = builtins.open, os.mkdir

    def copytree(self, source: Path, target: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(builtins, "open", self._open)
            patch.setattr(io, "open", self._open)
            patch.setattr(os, "mkdir", self._mkdir)
            shutil.copytree(source, target)
