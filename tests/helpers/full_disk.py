"""A disk that is full from some moment on, and what a folder holds."""

from __future__ import annotations

import builtins
import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

EFFORT = int(os.environ.get("ADAMAS_FUZZ", "1"))
"""How many times as much as usual is tried."""

CALLS = ("fsync", "replace", "rename", "link", "mkdir")
"""Functions of ``os`` that change what is on the disk. Everything else goes through ``open()``."""


class Disk:
    """Counts what is done to the disk, and lets one of those operations fail.

    Attributes:
        done: number of operations so far.
        failed: what failed; empty: nothing has.
    """

    def __init__(self, fail_at: int | None) -> None:
        self.fail_at = fail_at
        self.done = 0
        self.failed = ""

    def operation(self, name: str) -> None:
        """Count one, or raise the error of a full disk."""
        self.done += 1
        if self.done == self.fail_at:
            self.failed = name
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class _File:
    """A file open for writing, every write of which is counted."""

    def __init__(self, file: Any, disk: Disk) -> None:
        self._file, self._disk = file, disk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, data: Any) -> Any:
        self._disk.operation("write")
        return self._file.write(data)

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


@contextmanager
def disk(folder: Path, fail_at: int | None = None) -> Iterator[Disk]:
    """Let the ``fail_at``-th operation that writes below ``folder`` fail, or none; all others work as ever."""
    counted, real_open = Disk(fail_at), io.open

    def below(path: Any) -> bool:
        return isinstance(path, str | Path) and Path(path).absolute().is_relative_to(folder)

    def opening(path: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if not set("wax+") & set(mode) or not below(path):
            return real_open(path, mode, *arguments, **options)
        counted.operation("open")
        return _File(real_open(path, mode, *arguments, **options), counted)

    def counting(name: str) -> Any:
        real = getattr(os, name)

        def call(place: Any, *arguments: Any, **options: Any) -> Any:
            known = name == "mkdir" and Path(place).exists()  # asked for in case it is not there
            if (isinstance(place, int) or below(place)) and not known:
                counted.operation(name)
            return real(place, *arguments, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, counting(name))
        patch.setattr(io, "open", opening)
        patch.setattr(builtins, "open", opening)
        yield counted


def content(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder, hidden ones too, with what is in it; folders have None."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }
