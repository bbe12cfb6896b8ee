"""Checksums of a checkpoint: a list of its files with the size and SHA-256 of each, to detect damage.

``manifest.json`` is the last file of a checkpoint to be written.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

import torch

from adamas.core.errors import UserError
from adamas.core.files import check_regular, read_file
from adamas.core.json_data import from_json

MANIFEST = "manifest.json"
FORMAT_VERSION = 2  # 1: files only; 2: also folders, with the shards that several processes wrote
"""The newest layout of a checkpoint. It is increased when older versions of adamas cannot read a newer checkpoint."""

_BLOCK = 1 << 20  # bytes per read


class DamagedError(Exception):
    """A checkpoint differs from what was written. The message says where."""


def write_manifest(folder: Path, step: int) -> None:
    """Write the manifest of all files in ``folder`` and its subfolders.

    Raises:
        OSError: if a file cannot be read, or the manifest cannot be written.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    files = {path.relative_to(folder).as_posix(): asdict(_fingerprint(path)) for path in paths}
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
        folder: the folder of the checkpoint.
        required: names of files that must exist.
        step: the training step that the checkpoint must belong to; None allows any.
        everything: whether to compare all files in the manifest, not only the required ones.

    Raises:
        DamagedError: if a file is missing or differs from what was written.
        UserError: if a newer version of adamas wrote the checkpoint.
    """
    try:
        manifest = json.loads(read_file(folder / MANIFEST))
        if manifest["format_version"] > FORMAT_VERSION:
            raise UserError(
                f"checkpoint {folder} was written by a newer adamas; pip install --upgrade adamas"
            )
        if step is not None and manifest["step"] != step:
            raise DamagedError(f"it belongs to step {manifest['step']}")
        required, files = list(required), dict(manifest["files"])
        for name in dict.fromkeys([*required, *(files if everything else ())]):
            _compare(folder, name, from_json(Fingerprint, files[name], name))
    except OSError as error:
        raise DamagedError(f"{Path(error.filename or folder).name}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedError(f"{MANIFEST} is malformed") from error


def _compare(folder: Path, name: str, expected: Fingerprint) -> None:
    """Compare a file with its entry in the manifest."""
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts:
        raise ValueError(f"{name} is outside the checkpoint")
    check_regular(folder / name)
    if (size := (folder / name).stat().st_size) != expected.bytes:
        raise DamagedError(f"{name} has {size} bytes instead of {expected.bytes}")
    if _fingerprint(folder / name) != expected:
        raise DamagedError(f"{name} has other content than was written")


@dataclass(frozen=True)
class Fingerprint:
    """The size and the SHA-256 (in hexadecimal digits) of a file."""

    bytes: int
    sha256: str


def _fingerprint(path: Path) -> Fingerprint:
    """Compute the fingerprint of a file, which may be larger than the memory."""
    size, sha256 = 0, hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            size += len(block)
            sha256.update(block)
    return Fingerprint(bytes=size, sha256=sha256.hexdigest())


@functools.cache
def _adamas_version() -> str:
    try:
        return importlib.metadata.version("adamas")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
