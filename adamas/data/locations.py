"""Locations of datasets: folders, or URLs that fsspec can open (``s3://…``, ``https://…``, ``memory://…``)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adamas.core.errors import UserError, not_installed
from adamas.core.files import check_regular
from adamas.core.files import read_file as read_local_file

Place = str | Path  # a folder or a URL

SCHEMES = ("s3", "gs", "gcs", "az", "abfs", "oss", "hf", "https", "http", "ftp", "sftp", "file", "memory")
CACHES = ("blockcache", "filecache", "simplecache")  # fsspec's local caches of remote files
_KNOWN = re.compile(rf"(({'|'.join(CACHES)})::)?({'|'.join(SCHEMES)})://", re.ASCII)


def is_url(place: Place) -> bool:
    """Whether ``place`` is a URL rather than a folder."""
    return "://" in str(place)


def check_url(url: str) -> None:
    """Refuse URLs with which fsspec might do more than read and write files.

    fsspec can chain file systems (``reference::https://…``), and some of them follow instructions in the files that
    they read: ``reference`` renders templates, which could run commands before fsspec 2026.6. Therefore a URL must have
    one of :data:`SCHEMES`, with at most one of :data:`CACHES` in front.

    Raises:
        UserError: the URL has another form.
    """
    known = _KNOWN.match(url)
    if known is None or "::" in url[known.end() :]:
        raise UserError(
            f"cannot open {url!r}; give a folder, or a URL that begins with one of {', '.join(SCHEMES)} (one of "
            f"{', '.join(CACHES)} may stand in front, followed by ::)"
        )


def parse_place(text: str) -> Place:
    """Parse a location that a user wrote: a URL or the path of a folder.

    Raises:
        UserError: :func:`check_url` refuses the URL.
    """
    if not is_url(text):
        return Path(text)
    check_url(text)
    return text


def local(place: Place) -> Path:
    """Return ``place`` as a path on this machine.

    Raises:
        UserError: ``place`` is a URL.
    """
    if is_url(place):
        raise UserError(
            f"{place} is a URL; give a folder on this machine (adamas data pack copies a dataset to a URL)"
        )
    return Path(place)


def place_name(place: Place) -> str:
    """Return the name of a place: the last part of a URL, or the folder's own name, also of ``.``."""
    if is_url(place):
        return str(place).rstrip("/").rpartition("/")[2]
    return os.path.basename(os.path.abspath(place))


def join(place: Place, name: str) -> Place:
    """Return the location of the file or folder ``name`` in ``place``."""
    return f"{place.rstrip('/')}/{name}" if isinstance(place, str) and is_url(place) else Path(place) / name


def filesystem(place: Place) -> tuple[Any, str]:
    """Return fsspec's file system for a place, and the path of the place in it.

    Raises:
        UserError: fsspec, or a package that it needs for this URL, is not installed; or :func:`check_url` refuses the
            URL; or a storage to which its file system connects at once cannot be reached.
    """
    try:
        import fsspec
    except ImportError as error:
        raise not_installed("fsspec", "data") from error
    if not is_url(place):  # url_to_fs would interpret a folder named reference::x
        return fsspec.filesystem("file"), os.path.abspath(place)
    check_url(str(place))
    try:
        return fsspec.core.url_to_fs(str(place))
    except (ImportError, ValueError) as error:
        raise UserError(f"cannot open {place}: {error}; install what is missing, or check the URL") from error
    except Exception as error:  # some file systems connect now
        raise _unreachable(place, "open", error) from error


@contextmanager
def reaching(place: Place, verb: str = "read") -> Iterator[None]:
    """Convert every error in the block to a UserError about ``place``; network libraries raise many classes."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise _unreachable(place, verb, error) from error


def _unreachable(place: Place, verb: str, error: Exception) -> UserError:
    what = f"{type(error).__name__}: {error}".splitlines()[0]
    remedy = "the URL and the connection" if is_url(place) else "the folder and the free space"
    return UserError(f"cannot {verb} {place} ({what}); check {remedy}")


def file_size(path: Path) -> int:
    """Return the size of a regular file in bytes.

    Raises:
        OSError: the file does not exist, or is a folder, pipe or device.
    """
    check_regular(path)
    return path.stat().st_size


def read_file(place: Place) -> bytes:
    """Return the content of a file.

    Raises:
        OSError: a file in a folder cannot be read.
        UserError: a file at a URL cannot be read.
    """
    if not is_url(place):
        return read_local_file(Path(place))
    system, path = filesystem(place)
    with reaching(place):
        return bytes(system.cat_file(path))
