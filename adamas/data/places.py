"""Where datasets lie: in folders, or at URLs that fsspec knows (``s3://…``, ``https://…``, ``memory://…``)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adamas.core.errors import UserError, require

Place = str | Path  # a folder, or a URL


def is_url(place: Place) -> bool:
    """Whether it is a URL and no folder."""
    return "://" in str(place)


def parse_place(text: str) -> Place:
    """What a user wrote: a URL as it is, or a folder."""
    return text if is_url(text) else Path(text)


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
        UserError: fsspec, or what it needs for this kind of URL, is not installed; or there is no such kind.
    """
    try:
        import fsspec
    except ImportError as error:
        raise require("fsspec", "data") from error
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
        raise UserError(f"cannot {verb} {place} ({what}); check the URL and the connection") from error


def read_file(place: Place) -> bytes:
    """The content of a file.

    Raises:
        OSError: a file in a folder cannot be read.
        UserError: a file at a URL cannot be read.
    """
    if not is_url(place):
        return Path(place).read_bytes()
    files, path = filesystem(place)
    with reaching(place):
        return files.cat_file(path)
