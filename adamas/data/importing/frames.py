"""Frames out of videos and folders of images, with the table beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from adamas.core.errors import UserError, require
from adamas.data.importing.source import Source
from adamas.data.importing.table import SUFFIXES, read_table

VIDEOS = (".mp4", ".mkv", ".webm", ".avi", ".mov")
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


def videos(path: Path, actions: Path | None) -> list[Source]:
    """A video, or a folder of them, one episode each.

    Args:
        path: the file or folder.
        actions: the table of the video, or the folder of tables; by default they lie beside their videos, and have
            their names.
    """
    files = [path] if path.is_file() else sorted(p for p in path.iterdir() if p.suffix.lower() in VIDEOS)
    return [Source(file, read_table(_table_of(file, actions)), partial(_decode, file)) for file in files]


def images(path: Path, actions: Path | None) -> list[Source]:
    """A folder of images, or a folder of such folders, one episode each; by the numbers in the images' names."""
    folders = [path] if _pictures(path) else sorted(p for p in path.iterdir() if p.is_dir() and _pictures(p))
    return [
        Source(folder, read_table(_table_of(folder, actions)), partial(_open, _pictures(folder)))
        for folder in folders
    ]


def _table_of(recording: Path, actions: Path | None) -> Path:
    if actions is not None and not actions.is_dir():
        return actions
    stem = recording.stem if recording.is_file() else recording.name
    candidates = [(actions or recording.parent) / f"{stem}{suffix}" for suffix in SUFFIXES]
    if recording.is_dir() and actions is None:
        candidates += [recording / f"actions{suffix}" for suffix in SUFFIXES]
    found = [candidate for candidate in candidates if candidate.is_file()]
    if len(found) != 1:
        names = ", ".join(candidate.name for candidate in candidates)
        raise UserError(
            f"{recording} needs one table of its actions, called {names}; or name it with --actions"
        )
    return found[0]


def _decode(file: Path) -> Iterator[tuple[float, np.ndarray]]:
    """Every frame of a video with its time."""
    try:
        import av
    except ModuleNotFoundError as error:
        raise require("av", "data") from error
    try:
        with av.open(str(file)) as container:
            if not container.streams.video:
                raise UserError(f"{file} has no video stream; give a video")
            start: float | None = None
            for frame in container.decode(container.streams.video[0]):
                time = float(frame.time or 0.0)
                start = time if start is None else start
                yield time - start, frame.to_ndarray(format="rgb24")
    except av.FFmpegError as error:
        raise UserError(
            f"{file} cannot be decoded ({error.strerror}); restore it or encode it anew"
        ) from error


def _open(files: list[Path]) -> Iterator[tuple[float, np.ndarray]]:
    for number, file in enumerate(files):
        try:
            with Image.open(file) as image:
                yield float(number), np.asarray(image.convert("RGB"))
        except (OSError, UnidentifiedImageError) as error:
            raise UserError(f"{file} is no image that can be read; restore it") from error


def _pictures(folder: Path) -> list[Path]:
    """A folder's images, by the numbers in their names."""
    files = [path for path in folder.iterdir() if path.suffix.lower() in IMAGES] if folder.is_dir() else []
    return sorted(files, key=lambda path: ([int(n) for n in re.findall(r"\d+", path.stem)], path.name))
