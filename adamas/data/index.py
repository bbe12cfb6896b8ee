"""The index of a store: a file, replaced atomically, that describes the store and its committed rows."""

from __future__ import annotations

import errno
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adamas.core.actions import ActionSpec
from adamas.core.config import from_dict, to_dict
from adamas.core.errors import UserError
from adamas.core.files import write_file
from adamas.data.checksums import Checksums, num_blocks
from adamas.data.locations import Place, check_url, is_url, join, read_file
from adamas.data.view import FRAMES, ROWS, damaged

VERSION = 3  # 1: actions are int64; 2: actions are described by action_spec; 3: packed datasets and links
INDEX = "index.json"
CHECKSUM = "crc32"  # key of the checksum of all other entries of the index
LARGEST = 2**31  # most bytes in a frame


@dataclass(frozen=True, kw_only=True)
class Index:
    """Description of a store.

    Attributes:
        obs_shape: (C, H, W) of a frame.
        num_rows: number of committed rows.
        action_spec: what the actions are. None in stores of older versions, whose actions are option numbers.
        packed: whether the files are those of :mod:`adamas.data.packed`.
        game: the recorded game, as the fields of an :class:`~adamas.envs.config.EnvConfig`; None if it is unknown.
        checksums: of ``frames.bin`` and ``rows.bin`` or, in a packed dataset, of ``blocks.bin`` and ``rows.bin``. None
            in stores that an older version wrote or appended to.
    """

    obs_shape: tuple[int, int, int]
    num_rows: int
    action_spec: ActionSpec | None
    packed: bool = False
    game: Mapping[str, Any] | None = None
    checksums: Checksums | None = None


def read_index(folder: Place) -> Index:
    """Read the index of the store in ``folder``.

    Raises:
        UserError: there is no index, it is damaged, or a newer version wrote it.
    """
    index = _content(folder)
    try:
        channels, height, width = (_whole(size, 1) for size in index["obs_shape"])
        if channels * height * width > LARGEST:
            raise ValueError("out of range")
        packed = index.get("packed", False)
        if not isinstance(packed, bool):
            raise TypeError("packed is true or false")
        num_rows = _whole(index["num_rows"], 0)
        return Index(
            obs_shape=(channels, height, width),
            num_rows=num_rows,
            action_spec=_action_spec(index.get("action_spec")),
            packed=packed,
            game=_game(index.get("game")),
            checksums=_checksums(index.get("checksums"), num_rows, packed),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(join(folder, INDEX)) from error


def is_dataset(folder: Place) -> bool:
    """Whether ``folder`` itself is a dataset that can be read, and not a folder of several."""
    try:
        read_index(folder)
    except UserError:
        return False
    return True


def follow_link(folder: Place) -> Place:
    """Return the place of the dataset that ``folder`` holds or, after :func:`link_recordings`, links to.

    Links are followed only within runs. A dataset may come from a stranger, and must not decide which other places are
    read.

    Raises:
        UserError: as :func:`read_index`; or the folder with the link is not part of a run; or the link is not the URL
            of a storage.
    """
    link = _content(folder).get("link")
    if link is None:
        return folder
    if not _in_run(folder):
        raise UserError(
            f"{folder} is not a dataset but a link to {link!r}, which is followed only within a run; if you trust that "
            "place, give it instead"
        )
    check_url(str(link))
    return str(link)


def is_link(folder: Path) -> bool:
    """Whether ``folder`` was made by :func:`link_recordings`."""
    return (folder / INDEX).is_file() and "link" in _content(folder)


def link_recordings(folder: Path, place: Place) -> None:
    """Make ``folder``, the ``dataset/`` of a run, a link to recordings.

    Args:
        folder: the new folder, which becomes a symbolic link if ``place`` is a folder.
        place: a folder or URL that holds ``train/`` and ``test/``.

    Raises:
        UserError: ``place`` is a URL that :func:`~adamas.data.locations.check_url` refuses.
    """
    if not is_url(place):
        folder.symlink_to(Path(place).absolute(), target_is_directory=True)
        return
    check_url(str(place))
    for name in ("train", "test"):
        (folder / name).mkdir(parents=True)
        write_file(folder / name / INDEX, _text({"version": VERSION, "link": str(join(place, name))}))


def _in_run(folder: Place) -> bool:
    """Whether ``folder`` belongs to the ``dataset/`` that :func:`link_recordings` made in a run."""
    if is_url(folder):
        return False
    dataset = Path(folder).absolute().parent
    return (
        dataset.name == "dataset" and not dataset.is_symlink() and (dataset.parent / "config.yaml").is_file()
    )


def _content(folder: Place) -> dict[str, Any]:
    try:
        index = json.loads(read_file(join(folder, INDEX)))
        if index["version"] > VERSION:
            raise UserError(f"{folder} was written by a newer adamas; pip install --upgrade adamas")
        checksum = index.pop(CHECKSUM, None)
        if checksum != _checksum(index) and (checksum is not None or "checksums" in index):
            raise ValueError("the checksum does not match")
    except OSError as error:
        raise UserError(f"no dataset in {folder} ({INDEX}: {error.strerror}); check the path") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise damaged(join(folder, INDEX)) from error
    return index


def _whole(value: Any, least: int) -> int:
    if type(value) is not int or not least <= value < 2**48:  # not isinstance: True is an int
        raise ValueError(f"{value} is not a whole number in the valid range")
    return value


def _action_spec(data: Any) -> ActionSpec | None:
    try:
        return None if data is None else from_dict(ActionSpec, data, "action_spec")
    except UserError as error:
        raise ValueError(str(error)) from error


def _game(data: Any) -> Mapping[str, Any] | None:
    if data is None:
        return None
    if not isinstance(data, dict) or not all(isinstance(data[name], str) for name in ("suite", "game")):
        raise TypeError("no game")
    return data


def _checksums(data: Any, num_rows: int, packed: bool) -> Checksums | None:
    if data is None:
        return None
    if not isinstance(data, dict):
        raise TypeError("no checksums")
    sums = {str(name): [_whole(number, 0) for number in numbers] for name, numbers in data.items()}
    if not packed and any(len(sums[name]) != num_blocks(num_rows) for name in (FRAMES, ROWS)):
        raise ValueError("the numbers of checksums and rows do not match")
    return sums


def index_text(index: Index) -> str:
    """Return the content of the index file.

    Older versions can read the index as well. When they append to the store, they write an index without checksums,
    since these would no longer match the files.
    """
    spec = index.action_spec
    content = {
        "version": VERSION if index.packed else 1 if spec is None or spec.is_discrete else 2,
        "obs_shape": list(index.obs_shape),
        "num_rows": index.num_rows,
        "action_spec": None if spec is None else to_dict(spec),
    }
    if index.game is not None:
        content["game"] = dict(index.game)
    if index.packed:
        content["packed"] = True
    if index.checksums is not None:
        content["checksums"] = dict(index.checksums)
    return _text(content)


def _text(content: dict[str, Any]) -> str:
    return json.dumps({**content, CHECKSUM: _checksum(content)})


def _checksum(content: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(content).encode())


def write_index(folder: Path, index: Index) -> None:
    """Replace the index atomically: a crash leaves either the old index or the new one.

    Raises:
        OSError: the index cannot be written.
    """
    write_file(folder / INDEX, index_text(index))


class CannotWriteError(UserError):
    """The disk is full, or a folder is not writable. Committed rows are intact."""


def cannot_write(folder: Place, error: OSError) -> CannotWriteError:
    """Return the error for a full disk or a folder that is not writable."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    remedy = "free some disk space" if full else "check that the folder exists and is writable"
    return CannotWriteError(
        f"cannot write to {folder}: {error.strerror}; {remedy} (committed rows are intact)"
    )
