"""The list of a checkpoint's files with the size and SHA-256 of each: whether they are as they were written.

``manifest.json`` is the last file of a checkpoint to be written.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from adamas.core.errors import UserError

MANIFEST = "manifest.json"
FORMAT_VERSION = 2  # 1: files alone; 2: or also folders, with what several processes wrote
"""The newest layout of a checkpoint. Raised when an older adamas could not read a newer checkpoint."""

_BLOCK = 1 << 20  # bytes read at once


class DamagedError(Exception):
    """A checkpoint is not as it was written; the message says what differs."""


def write_manifest(folder: Path, step: int) -> None:
    """Describe every file in ``folder`` and in its folders.

    Raises:
        OSError: a file cannot be read, or the manifest cannot be written.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    files = {path.relative_to(folder).as_posix(): _fingerprint(path) for path in paths}
    manifest = {
        "format_version": 2 if any("/" in name for name in files) else 1,
        "step": step,
        "files": files,
        "versions": {
            "adamas": _adamas_version(),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
    (folder / MANIFEST).write_bytes(json.dumps(manifest, indent=2).encode())


def verify(folder: Path, required: Iterable[str], step: int | None = None, everything: bool = True) -> None:
    """Compare the files of a checkpoint with its manifest.

    Args:
        folder: the checkpoint's.
        required: files that must be there.
        step: the training step that it must belong to; None: any.
        everything: compare all that the manifest lists, not only what is required.

    Raises:
        DamagedError: a file is missing, or is not as it was written.
        UserError: a newer version of adamas wrote it.
    """
    try:
        manifest = json.loads(read_regular(folder / MANIFEST))
        if manifest["format_version"] > FORMAT_VERSION:
            raise UserError(
                f"checkpoint {folder} was written by a newer adamas; pip install --upgrade adamas"
            )
        if step is not None and manifest["step"] != step:
            raise DamagedError(f"it belongs to step {manifest['step']}")
        required, files = list(required), dict(manifest["files"])
        for name in dict.fromkeys([*required, *(files if everything else ())]):
            _compare(folder, name, files[name])
    except OSError as error:
        raise DamagedError(f"{Path(error.filename or folder).name}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedError(f"{MANIFEST} is malformed") from error


def read_regular(path: Path) -> bytes:
    """The content of a file. Reading from a pipe or a device could wait for ever.

    Raises:
        OSError: it cannot be read.
        DamagedError: it is no file.
    """
    _check_regular(path)
    return path.read_bytes()


def _check_regular(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise DamagedError(f"{path.name} is not a file")


def _compare(folder: Path, name: str, expected: dict[str, Any]) -> None:
    """Compare a file with what the manifest says of it."""
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts:
        raise ValueError(f"{name} is outside the checkpoint")
    _check_regular(folder / name)
    if (size := (folder / name).stat().st_size) != expected["bytes"]:
        raise DamagedError(f"{name} has {size} bytes instead of {expected['bytes']}")
    if _fingerprint(folder / name)["sha256"] != expected["sha256"]:
        raise DamagedError(f"{name} has other content than was written")


def _fingerprint(path: Path) -> dict[str, int | str]:
    """Size and SHA-256 of a file, which may be larger than the memory."""
    size, sha256 = 0, hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            size += len(block)
            sha256.update(block)
    return {"bytes": size, "sha256": sha256.hexdigest()}


@functools.cache
def _adamas_version() -> str:
    try:
        return importlib.metadata.version("adamas")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
