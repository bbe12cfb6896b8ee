"""The index of a store: what it holds and how much of it is committed, in a file that is replaced as a whole."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from adamas.core.actions import ActionSpec
from adamas.core.config import from_dict, to_dict
from adamas.core.errors import UserError
from adamas.data.collate import damaged
from adamas.data.places import Place, is_url, join, read_file

VERSION = 3  # 1: actions are one int64 each; 2: or what action_spec says; 3: or it is packed, or a link
INDEX = "index.json"


class Index(NamedTuple):
    """What a store says of itself: the shape (C, H, W) of its frames, its committed rows, and what its actions are.

    ``action_spec`` is None in stores of older versions, whose actions are one choice with options unknown. ``game`` is
    what was recorded, as the fields of an :class:`~adamas.envs.config.EnvConfig`; None where that is not known.
    """

    obs_shape: tuple[int, int, int]
    num_rows: int
    action_spec: ActionSpec | None
    packed: bool = False  # the files are those of adamas.data.packed
    game: Mapping[str, Any] | None = None


def read_index(folder: Place) -> Index:
    """The index of the store in ``folder``.

    Raises:
        UserError: there is none, it is damaged, or a newer version wrote it.
    """
    index = _content(folder)
    try:
        channels, height, width = map(int, index["obs_shape"])
        num_rows = int(index["num_rows"])
        if min(channels, height, width) < 1 or num_rows < 0:
            raise ValueError("out of range")
        action_spec, game = _action_spec(index.get("action_spec")), index.get("game")
        if game is not None and not {"suite", "game"} <= set(game):
            raise ValueError("no game")
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(join(folder, INDEX)) from error
    return Index((channels, height, width), num_rows, action_spec, bool(index.get("packed")), game)


def follow_link(folder: Place) -> Place:
    """Where the dataset of a folder lies: there, or where :func:`link_recordings` says.

    Raises:
        UserError: as :func:`read_index`.
    """
    link = _content(folder).get("link")
    return folder if link is None else str(link)


def is_link(folder: Path) -> bool:
    """Whether :func:`link_recordings` made the folder."""
    return (folder / INDEX).is_file() and "link" in _content(folder)


def link_recordings(folder: Path, place: Place) -> None:
    """Let a new folder stand for the recordings in ``place``, which has ``train/`` and ``test/``."""
    if not is_url(place):
        folder.symlink_to(Path(place).absolute(), target_is_directory=True)
        return
    for name in ("train", "test"):
        (folder / name).mkdir(parents=True)
        (folder / name / INDEX).write_text(json.dumps({"version": VERSION, "link": str(join(place, name))}))


def _content(folder: Place) -> dict[str, Any]:
    try:
        index = json.loads(read_file(join(folder, INDEX)))
        if index["version"] > VERSION:
            raise UserError(f"{folder} was written by a newer adamas; pip install --upgrade adamas")
    except OSError as error:
        raise UserError(f"no replay in {folder} ({INDEX}: {error.strerror}); check the path") from error
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(join(folder, INDEX)) from error
    return index


def _action_spec(data: Any) -> ActionSpec | None:
    try:
        return None if data is None else from_dict(ActionSpec, data, "action_spec")
    except UserError as error:
        raise ValueError(str(error)) from error


def index_text(index: Index) -> str:
    """What the file of an index says."""
    spec = index.action_spec
    content = {
        "version": VERSION if index.packed else 1 if spec is None or spec.is_discrete else 2,
        "obs_shape": list(index.obs_shape),
        "num_rows": index.num_rows,
        "action_spec": None if spec is None else to_dict(spec),
    }
    if index.game is not None:
        content["game"] = dict(index.game)
    return json.dumps({**content, "packed": True} if index.packed else content)


def write_index(folder: Path, index: Index) -> None:
    """Replace the index so that a crash leaves either the old one or the new one."""
    temporary = folder / f"{INDEX}.tmp"
    with open(temporary, "w") as file:
        file.write(index_text(index))
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


def cannot_write(folder: Place, error: OSError) -> UserError:
    """The error for a disk that is full, or a folder that takes no files."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    remedy = "free some disk space" if full else "check that the folder exists and is writable"
    return UserError(f"cannot write to {folder}: {error.strerror}; {remedy} (what was committed is intact)")
