"""The index of a store: what it holds and how much of it is committed, in a file that is replaced as a whole."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from adamas.core.actions import ActionSpec
from adamas.core.config import from_dict, to_dict
from adamas.core.errors import UserError
from adamas.data.collate import damaged

VERSION = 2  # 1: actions are one int64 each
INDEX = "index.json"


class Index(NamedTuple):
    """What a store says of itself: the shape (C, H, W) of its frames, its committed rows, and what its actions are.

    ``action_spec`` is None in stores of older versions, whose actions are one choice with options unknown.
    """

    obs_shape: tuple[int, int, int]
    num_rows: int
    action_spec: ActionSpec | None


def read_index(folder: Path) -> Index:
    """The index of the store in ``folder``.

    Raises:
        UserError: there is none, it is damaged, or a newer version wrote it.
    """
    try:
        index = json.loads((folder / INDEX).read_bytes())
        if index["version"] > VERSION:
            raise UserError(f"{folder} was written by a newer adamas; pip install --upgrade adamas")
        channels, height, width = map(int, index["obs_shape"])
        num_rows = int(index["num_rows"])
        if min(channels, height, width) < 1 or num_rows < 0:
            raise ValueError("out of range")
        action_spec = _action_spec(index.get("action_spec"))
    except OSError as error:
        raise UserError(f"no replay in {folder} ({INDEX}: {error.strerror}); check the path") from error
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(folder / INDEX) from error
    return Index((channels, height, width), num_rows, action_spec)


def _action_spec(data: Any) -> ActionSpec | None:
    try:
        return None if data is None else from_dict(ActionSpec, data, "action_spec")
    except UserError as error:
        raise ValueError(str(error)) from error


def write_index(folder: Path, index: Index) -> None:
    """Replace the index so that a crash leaves either the old one or the new one."""
    spec = index.action_spec
    content = {
        "version": 1 if spec is None or spec.is_discrete else VERSION,
        "obs_shape": list(index.obs_shape),
        "num_rows": index.num_rows,
        "action_spec": None if spec is None else to_dict(spec),
    }
    temporary = folder / f"{INDEX}.tmp"
    with open(temporary, "w") as file:
        json.dump(content, file)
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
