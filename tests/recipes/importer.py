"""Example of an importer: safetensors files, an episode each, with arrays ``obs``, ``action`` and so on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load_file

from adamas.core.errors import UserError
from adamas.data.importing.arrays import Arrays, episode
from adamas.data.importing.source import Selection, Source


@contextmanager
def _opened(file: Path) -> Iterator[Arrays]:
    try:
        arrays = load_file(file)
    except SafetensorError as error:
        raise OSError(str(error)) from error
    yield arrays


def safetensors(file: Path, selection: Selection) -> list[Source]:
    """The episode in a file.

    Args:
        file: a safetensors file.
        selection: which array holds the frames, and what else is imported.

    Raises:
        UserError: the file cannot be read.
    """
    opened = partial(_opened, file)
    try:
        with opened() as arrays:
            return [episode(file, opened, arrays, selection)]
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error}; export it again") from error
