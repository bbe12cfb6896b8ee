"""Where datasets lie: in folders, or at URLs that fsspec knows (``s3://…``, ``https://…``, ``memory://…``)."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adamas.core.errors import UserError, require

Place = str | Path  # a folder, or a URL

SCHEMES = ("s3", "gs", "gcs", "az", "abfs", "oss", "hf", "https", "http", "ftp", "sftp", "file", "memory")
CACHES = ("blockcache", "filecache", "simplecache")  # of fsspec: they keep what was read on this machine
_KNOWN = re.compile(rf"(({'|'.join(CACHES)})::)?({'|'.join(SCHEMES)})://", re.ASCII)


def is_url(place: Place) -> bool:
    """Whether it is a URL and no folder."""
    return "://" in str(place)


def check_url(url: str) -> None:
    """Refuse URLs that make fsspec do more than read and write files.

    fsspec chains file systems (``reference::https://…``). Some of them follow instructions in the files that they read:
    ``reference`` renders templates, which could run commands before fsspec 2026.6. So a URL is a plain one of
    :data:`SCHEMES`, wherever it comes from; only one of :data:`CACHES` may stand in front.

    Raises:
        UserError: it is another one.
    """
    known = _KNOWN.match(url)
    if known is None or "::" in url[known.end() :]:
        raise UserError(
            f"cannot open {url!r}: datasets lie in folders, or at {', '.join(SCHEMES)} URLs, with at most one of "
            f"{', '.join(CACHES)} and :: in front"
        )


def parse_place(text: str) -> Place:
    """What a user wrote: a URL as it is, or a folder.

    Raises:
        UserError: :func:`check_url` refuses it.
    """
    if not is_url(text):
        return Path(text)
    check_url(text)
    return text


def local(place: Place) -> Path:
    """A place that is no URL.

    Raises:
        UserError: it is a URL.
    """
    if is_url(place):
        raise UserError(
            f"{place} is a URL; this takes folders of this machine (adamas data pack brings a dataset to a URL)"
        )
    return Path(place)


def join(place: Place, name: str) -> Place:
    """A file or folder in a place."""
    return f"{place.rstrip('/')}/{name}" if isinstance(place, str) and is_url(place) else Path(place) / name


def filesystem(place: Place) -> tuple[Any, str]:
    """fsspec's file system for a place, and what the place is called there.

    Raises:
        UserError: fsspec, or what it needs for this kind of URL, is not installed; or :func:`check_url` refuses it.
    """
    try:
        import fsspec
    except ImportError as error:
        raise require("fsspec", "data") from error
    if not is_url(place):  # not by url_to_fs: a folder may be called reference::x
        return fsspec.filesystem("file"), os.path.abspath(place)
    check_url(str(place))
    try:
        return fsspec.core.url_to_fs(str(place))
    except (ImportError, ValueError) as error:
        raise UserError(f"cannot open {place}: {error}; install what is missing, or check the URL") from error


@contextmanager
def reaching(place: Place, verb: str = "read") -> Iterator[None]:
    """Say in one line what could not be done to ``place``: network libraries raise errors of many classes."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        remedy = "the URL and the connection" if is_url(place) else "the folder and the space that is free"
        raise UserError(f"cannot {verb} {place} ({what}); check {remedy}") from error


def file_size(path: Path) -> int:
    """Bytes of a file.

    Raises:
        OSError: there is none, or something else: a folder, or a pipe or device, from which reading may never end.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "this is no file", str(path))
    return status.st_size


def read_file(place: Place) -> bytes:
    """The content of a file.

    Raises:
        OSError: a file in a folder cannot be read.
        UserError: a file at a URL cannot be read.
    """
    if not is_url(place):
        file_size(Path(place))
        return Path(place).read_bytes()
    files, path = filesystem(place)
    with reaching(place):
        return files.cat_file(path)
