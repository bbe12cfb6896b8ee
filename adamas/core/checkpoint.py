"""Checkpoints that a kill, a full disk or a damaged file cannot take away.

A checkpoint is a folder, complete and verified or not there at all::

    checkpoints/latest                          text: the name of the newest folder
    checkpoints/step-00012345/agent.safetensors what a user of the agent needs, together with
                              config.yaml       the configuration
                              trainer.pt        what resuming needs besides: optimisers, counters, RNG states
                              manifest.json     format, step, and the size and SHA-256 of each file above

Writing goes in a fixed order. The files are written and synced in a folder named ``*.tmp``, which is then
renamed into place; ``latest`` follows; older checkpoints are removed last. A checkpoint of the same step
stands aside as ``step-00012345.old`` until the new one is in place. Only one process may write at a time.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import io
import json
import os
import platform
import re
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import yaml
from torch import Tensor

from adamas.core.errors import UserError

FORMAT_VERSION = 1
"""Version of the layout above; raised when an older adamas could not read a newer checkpoint."""

_FOLDER = re.compile(r"step-(\d+)(\.old)?")


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint on disk; its parts are read when asked for.

    Attributes:
        path: its folder.
        step: the training step after which it was saved.
    """

    path: Path
    step: int

    def agent(self) -> dict[str, Tensor]:
        """The agent's tensors by name, on the CPU."""
        return safetensors.torch.load_file(self.path / "agent.safetensors")

    def config(self) -> dict[str, Any]:
        """The configuration of the run, as plain values."""
        config: dict[str, Any] = yaml.safe_load((self.path / "config.yaml").read_bytes())
        return config

    def trainer(self) -> dict[str, Any]:
        """The state of the training loop, its tensors on the CPU. Executes no code from the file."""
        state: dict[str, Any] = torch.load(self.path / "trainer.pt", map_location="cpu", weights_only=True)
        return state


def save_checkpoint(
    root: Path,
    step: int,
    agent: Mapping[str, Tensor],
    config: dict[str, Any],
    trainer: dict[str, Any],
    keep: int = 2,
) -> Path:
    """Save a checkpoint such that at every instant an intact one exists, once the first is written.

    Args:
        root: the folder that holds the checkpoints of one run; made if need be.
        step: training step, at least 0. A checkpoint of the same step is replaced.
        agent: tensors by name, on any device and of any memory layout; they may share memory.
        config: plain values, see :func:`adamas.core.config.to_dict`.
        trainer: nested dictionaries, lists and tuples of tensors, numbers, strings and None.
        keep: how many checkpoints up to this step remain, at least 2.

    Returns:
        The folder of the checkpoint.

    Raises:
        UserError: if it cannot be written; earlier checkpoints are untouched.
        pickle.UnpicklingError: if ``trainer`` holds something that could not be read back safely.
    """
    if keep < 2 or step < 0:
        raise ValueError(f"keep must be at least 2 and step at least 0, got {keep} and {step}")
    files = _serialise(step, agent, config, trainer)
    target = root / f"step-{step:08d}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        _tidy(root)
        _publish(target, files)
        _write_latest(root, target.name)
        _prune(root, step, keep)
    except OSError as error:
        with contextlib.suppress(OSError):  # what cannot be tidied up now is tidied up by the next save
            _tidy(root)
        raise UserError(
            f"cannot write checkpoint {target}: {error.strerror}; earlier checkpoints are intact: "
            f"free space there and resume with: adamas train --resume {root.parent}"
        ) from error
    return target


def find_checkpoint(root: Path) -> Checkpoint:
    """The newest intact checkpoint in ``root``; damaged ones are passed over with a warning.

    Raises:
        UserError: if there is none, or if a newer version of adamas wrote the newest.
    """
    folders = [(int(match[1]), not match[2], path) for path, match in _folders(root)]
    for step, _, path in sorted(folders, reverse=True):
        reason = _damage(path, step)
        if reason is None:
            return Checkpoint(path, step)
        warnings.warn(f"checkpoint {path} is damaged ({reason}); trying the one before it", stacklevel=2)
    found = "every checkpoint in it is damaged" if folders else "it holds none"
    raise UserError(f"no usable checkpoint in {root}: {found}; check the path or start a new run")


def _folders(root: Path) -> list[tuple[Path, re.Match[str]]]:
    matches = ((path, _FOLDER.fullmatch(path.name)) for path in root.glob("step-*"))
    return [(path, match) for path, match in matches if match]


def _serialise(
    step: int, agent: Mapping[str, Tensor], config: dict[str, Any], trainer: dict[str, Any]
) -> dict[str, bytes]:
    """The files of a checkpoint in the order in which they are written, the manifest last."""
    # safetensors wants tensors that are contiguous and own their memory.
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in agent.items()
    }
    state = io.BytesIO()
    torch.save(trainer, state)
    # What cannot be read back must fail here, not days later when the run is resumed.
    torch.load(io.BytesIO(state.getvalue()), map_location="cpu", weights_only=True)
    files = {
        "agent.safetensors": safetensors.torch.save(tensors),
        "config.yaml": yaml.safe_dump(config, sort_keys=False, allow_unicode=True).encode(),
        "trainer.pt": state.getvalue(),
    }
    manifest = {
        "format_version": FORMAT_VERSION,
        "step": step,
        "files": {name: _fingerprint(content) for name, content in files.items()},
        "versions": {
            "adamas": _adamas_version(),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
    return files | {"manifest.json": json.dumps(manifest, indent=2).encode()}


def _fingerprint(content: bytes) -> dict[str, int | str]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _adamas_version() -> str:
    try:
        return importlib.metadata.version("adamas")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _damage(folder: Path, step: int) -> str | None:
    """Why the checkpoint cannot be used, or None if every byte is as it was written."""
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
        if manifest["format_version"] > FORMAT_VERSION:
            raise UserError(
                f"checkpoint {folder} was written by a newer adamas; pip install --upgrade adamas"
            )
        if manifest["step"] != step:
            return f"it belongs to step {manifest['step']}"
        for name in ("agent.safetensors", "config.yaml", "trainer.pt"):
            expected, found = manifest["files"][name], _fingerprint((folder / name).read_bytes())
            if found["bytes"] != expected["bytes"]:
                return f"{name} has {found['bytes']} bytes instead of {expected['bytes']}"
            if found["sha256"] != expected["sha256"]:
                return f"{name} has other content than was written"
    except OSError as error:
        return f"{Path(error.filename or folder).name}: {error.strerror}"
    except (ValueError, KeyError, TypeError):
        return "manifest.json is malformed"
    return None


def _publish(target: Path, files: Mapping[str, bytes]) -> None:
    """Make the folder ``target`` appear with all its files at once, in place of an earlier one."""
    temporary, aside = target.with_name(target.name + ".tmp"), target.with_name(target.name + ".old")
    temporary.mkdir()
    for name, content in files.items():
        _write_synced(temporary / name, content)
    _sync_folder(temporary)
    if target.exists():  # a folder that is not empty cannot be replaced by a single rename
        target.rename(aside)
    temporary.rename(target)
    _sync_folder(target.parent)
    if aside.exists():
        _remove(aside)


def _write_latest(root: Path, name: str) -> None:
    temporary = root / "latest.tmp"
    _write_synced(temporary, f"{name}\n".encode())
    temporary.replace(root / "latest")
    _sync_folder(root)


def _prune(root: Path, step: int, keep: int) -> None:
    """Remove all but the newest ``keep`` checkpoints up to ``step``.

    Later ones stay: a run that resumes before a damaged checkpoint must not count it among those to keep.
    """
    steps = sorted((int(match[1]), path) for path, match in _folders(root) if int(match[1]) <= step)
    for _, path in steps[:-keep]:
        _remove(path)


def _tidy(root: Path) -> None:
    """Clear away what a save that did not finish has left behind."""
    for leftover in root.glob("*.tmp"):
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()
    for aside in root.glob("step-*.old"):
        target = aside.with_suffix("")
        if target.exists():
            _remove(aside)
        else:
            aside.rename(target)


def _remove(folder: Path) -> None:
    """Remove a checkpoint such that no part of it is ever taken for one."""
    doomed = folder.with_name(folder.name + ".tmp")
    folder.rename(doomed)
    shutil.rmtree(doomed)


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make renames within ``folder`` survive a power failure."""
    if os.name == "nt":  # Windows cannot open folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
