"""Checkpoints that a kill, a full disk or a damaged file cannot take away.

A checkpoint is a folder, complete and verified or not there at all::

    checkpoints/latest                          text: the name of the newest folder
    checkpoints/step-00012345/agent.safetensors what a user of the agent needs, together with
                              config.yaml       the configuration
                              trainer.pt        what resuming needs besides: optimisers, counters, RNG states
                              parts/NAME/       what several processes wrote, each its own part of every tensor
                                                (torch.distributed.checkpoint); only where a run is sharded
                              manifest.json     format, step, and the size and SHA-256 of each file above

Writing goes in a fixed order. The files are written and synced in a folder named ``*.tmp``, which is then
renamed into place; ``latest`` follows; older checkpoints are removed last. A checkpoint of the same step
stands aside as ``step-00012345.old`` until the new one is in place. Only one process may write at a time.

Tensors go to disk one after another: saving needs hardly more memory than what is saved.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import safetensors.torch
import torch
import yaml
from torch import Tensor

from adamas.core.errors import UserError
from adamas.core.files import sync, write_file
from adamas.core.manifest import DamagedError, verify, write_manifest
from adamas.core.tensors import write_tensors

AGENT_FILES = ("agent.safetensors", "config.yaml")
"""All that loading an agent needs."""

FILES = (*AGENT_FILES, "trainer.pt")
"""All that resuming needs, besides what :attr:`Checkpoint.parts` has."""

NO_PARTS: Mapping[str, Callable[[Path], None]] = MappingProxyType({})

_FOLDER = re.compile(r"step-(\d+)(\.old)?")


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint on disk; its parts are read when asked for.

    Whatever a file holds, reading it gives what adamas writes there or raises UserError, and executes no code.

    Attributes:
        path: its folder.
        step: the training step after which it was saved.
    """

    path: Path
    step: int

    def agent(self) -> dict[str, Tensor]:
        """The agent's tensors by name, on the CPU."""
        with self._reading("agent.safetensors") as path:
            return safetensors.torch.load_file(path)

    def config(self) -> dict[str, Any]:
        """The configuration of the run, as plain values."""
        with self._reading("config.yaml") as path:
            config = yaml.safe_load(path.read_bytes())
            if not isinstance(config, dict):
                raise ValueError("no mapping of keys to values")
            return config

    def trainer(self) -> dict[str, Any]:
        """The state of the training loop, its tensors on the CPU."""
        with self._reading("trainer.pt") as path:
            state = torch.load(path, map_location="cpu", weights_only=True)
            if not isinstance(state, dict):
                raise ValueError("no dictionary")
            return state

    def parts(self, name: str) -> Path | None:
        """The folder in which several processes wrote their parts of ``name``; None if one process wrote all."""
        folder = self.path / "parts" / name
        return folder if folder.is_dir() else None

    @contextmanager
    def _reading(self, name: str) -> Iterator[Path]:
        try:
            if (self.path / name).exists() and not (self.path / name).is_file():
                raise ValueError("not a file")  # a pipe would be waited for
            yield self.path / name
        except Exception as error:  # arbitrary bytes make parsers raise almost anything
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise UserError(
                f"checkpoint {self.path} is damaged ({name}: {reason}); load the folder of its run instead, which "
                "falls back on the checkpoint before it once you have removed this one"
            ) from error


def save_checkpoint(
    root: Path,
    step: int,
    agent: Mapping[str, Tensor],
    config: dict[str, Any],
    trainer: dict[str, Any],
    keep: int = 2,
    parts: Mapping[str, Callable[[Path], None]] = NO_PARTS,
) -> Path:
    """Save a checkpoint such that at every instant an intact one exists, once the first is written.

    Args:
        root: the folder that holds the checkpoints of one run; made if need be.
        step: training step, at least 0. A checkpoint of the same step is replaced.
        agent: tensors by name, on any device and of any memory layout; they may share memory.
        config: plain values, see :func:`adamas.core.config.to_dict`.
        trainer: nested dictionaries, lists and tuples of tensors, numbers, strings and None.
        keep: how many checkpoints up to this step remain, at least 2.
        parts: what several processes save together: a function that has them all write into the folder it is given.

    Returns:
        The folder of the checkpoint.

    Raises:
        UserError: if it cannot be written; earlier checkpoints are untouched.
        pickle.UnpicklingError: if ``trainer`` holds something that could not be read back safely.
    """
    if keep < 2 or step < 0:
        raise ValueError(f"keep must be at least 2 and step at least 0, got {keep} and {step}")
    target = root / f"step-{step:08d}"
    temporary = target.with_name(target.name + ".tmp")
    try:
        root.mkdir(parents=True, exist_ok=True)
        _tidy(root)
        temporary.mkdir()
        write_tensors(temporary / "agent.safetensors", agent)
        text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
        (temporary / "config.yaml").write_text(text, encoding="utf-8")
        _write_trainer(temporary / "trainer.pt", trainer)
        for name, write in parts.items():
            (temporary / "parts" / name).mkdir(parents=True)
            write(temporary / "parts" / name)
        write_manifest(temporary, step)
        _publish(temporary, target)
        write_file(root / "latest", f"{target.name}\n")
        _prune(root, step, keep)
    except Exception as error:
        with contextlib.suppress(OSError):  # what cannot be tidied up now is tidied up by the next save
            _tidy(root)
        if not isinstance(error, OSError):
            raise
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
        try:
            verify(path, FILES, step)
        except DamagedError as reason:
            warnings.warn(f"checkpoint {path} is damaged ({reason}); trying the one before it", stacklevel=2)
        else:
            return Checkpoint(path, step)
    found = "every checkpoint in it is damaged" if folders else "it holds none"
    raise UserError(f"no usable checkpoint in {root}: {found}; check the path or start a new run")


def _folders(root: Path) -> list[tuple[Path, re.Match[str]]]:
    matches = ((path, _FOLDER.fullmatch(path.name)) for path in root.glob("step-*"))
    return [(path, match) for path, match in matches if match]


def _write_trainer(path: Path, trainer: dict[str, Any]) -> None:
    """Write the state of the training loop, and see whether it can be read back.

    What cannot must fail here, not days later when the run is resumed.
    """
    try:
        with path.open("wb") as file:
            torch.save(trainer, file)
    except RuntimeError as error:  # PyTorch's, in the place of the one that a full disk raised
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise
    torch.load(path, map_location="cpu", weights_only=True, mmap=True)  # tensors stay on the disk


def _publish(temporary: Path, target: Path) -> None:
    """Make the folder ``target`` appear with all its files at once, in place of an earlier one."""
    for path in temporary.rglob("*"):
        sync(path)
    sync(temporary)
    aside = target.with_name(target.name + ".old")
    if target.exists():  # a folder that is not empty cannot be replaced by a single rename
        target.rename(aside)
    temporary.rename(target)
    sync(target.parent)
    if aside.exists():
        _remove(aside)


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
