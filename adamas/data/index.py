"""The index of a store: how many of its rows are committed, in a file that is replaced as a whole."""

from __future__ import annotations

import json
import os
from pathlib import Path

from adamas.core.errors import UserError
from adamas.data.collate import damaged

VERSION = 1
INDEX = "index.json"


def read_index(folder: Path) -> tuple[tuple[int, int, int], int]:
    """Frame shape and number of committed rows."""
    try:
        index = json.loads((folder / INDEX).read_bytes())
        if index["version"] > VERSION:
            raise UserError(f"{folder} was written by a newer adamas; pip install --upgrade adamas")
        channels, height, width = map(int, index["obs_shape"])
        num_rows = int(index["num_rows"])
        if min(channels, height, width) < 1 or num_rows < 0:
            raise ValueError("out of range")
    except OSError as error:
        raise UserError(f"no replay in {folder} ({INDEX}: {error.strerror}); check the path") from error
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(folder / INDEX) from error
    return (channels, height, width), num_rows


def write_index(folder: Path, obs_shape: tuple[int, int, int], num_rows: int) -> None:
    """Replace the index so that a crash leaves either the old one or the new one."""
    temporary = folder / f"{INDEX}.tmp"
    with open(temporary, "w") as file:
        json.dump({"version": VERSION, "obs_shape": list(obs_shape), "num_rows": num_rows}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, folder / INDEX)
    sync(folder)


def sync(path: Path) -> None:
    """Have the operating system write a file, or a folder's list of files, to the disk now."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
