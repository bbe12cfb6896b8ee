"""Atomic checkpoints with rotation and checksums, which survive a kill, a full disk or a damaged file.

A checkpoint is a folder that either is complete or does not exist::

    checkpoints/latest                          text: the name of the newest folder
    checkpoints/step-00012345/agent.safetensors weights of the agent
                              config.yaml       configuration; with the weights, enough to use the agent
                              trainer.pt        needed only to resume: optimisers, counters, RNG states
                              parts/NAME/       sharded tensors that several processes wrote together with
                                                torch.distributed.checkpoint; only in sharded runs
                              manifest.json     format, step, and the size and SHA-256 of each file above

Files are written in a fixed order. First they are written and synced in a folder named ``*.tmp``, which is then
renamed. Next, ``latest`` is updated. Older checkpoints are removed last (rotation). An earlier checkpoint of the
same step is kept as ``step-00012345.old`` until the new one is in place. Only one process may write at a time.

Tensors are written one after another, so that saving needs little extra memory.
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

from adamas.core.config import to_yaml
from adamas.core.errors import UserError
from adamas.core.files import sync, write_file
from adamas.core.manifest import DamagedError, verify, write_manifest
from adamas.core.tensors import write_tensors

AGENT_FILES = ("agent.safetensors", "config.yaml")
"""The files needed to load an agent."""

FILES = (*AGENT_FILES, "trainer.pt")
"""The files needed to resume a run, besides those of :meth:`Checkpoint.parts`."""

NO_PARTS: Mapping[str, Callable[[Path], None]] = MappingProxyType({})

_FOLDER = re.compile(r"step-(\d+)(\.old)?")


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint on disk. Each method reads its file when it is called.

    Every method raises UserError if its file is damaged. Reading an untrusted file never runs code from it.

    Attributes:
        path: its folder.
        step: the training step after which it was saved.
    """

    path: Path
    step: int

    def agent_weights(self) -> dict[str, Tensor]:
        """Read the agent's tensors by name, on the CPU."""
        with self._reading("agent.safetensors") as path:
            return safetensors.torch.load_file(path)

    def config(self) -> dict[str, Any]:
        """Read the configuration of the run, as plain values."""
        with self._reading("config.yaml") as path:
            config = yaml.safe_load(path.read_bytes())
            if not isinstance(config, dict):
                raise ValueError("not a mapping of keys to values")
            return config

    def trainer_state(self) -> dict[str, Any]:
        """Read the state of the training loop, with its tensors on the CPU."""
        with self._reading("trainer.pt") as path:
            state = torch.load(path, map_location="cpu", weights_only=True)
            if not isinstance(state, dict):
                raise ValueError("not a dictionary")
            return state

    def parts_folder(self, name: str) -> Path | None:
        """Return the folder with the shards of ``name`` that several processes wrote; None if it is not sharded."""
        folder = self.path / "parts" / name
        return folder if folder.is_dir() else None

    @contextmanager
    def _reading(self, name: str) -> Iterator[Path]:
        try:
            if (self.path / name).exists() and not (self.path / name).is_file():
                raise ValueError("not a file")  # reading from a pipe would block
            yield self.path / name
        except Exception as error:  # arbitrary bytes make parsers raise almost anything
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise UserError(
                f"checkpoint {self.path} is damaged ({name}: {reason}); remove it and load the folder of its run, "
                "which falls back on the checkpoint before it"
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
    """Save a checkpoint atomically, then remove the oldest ones (rotation).

    From the first one on, there is an intact checkpoint on the disk at every instant.

    Args:
        root: the folder that holds the checkpoints of one run. It is created if it does not exist.
        step: training step, at least 0. An existing checkpoint of this step is replaced.
        agent: tensors by name, on any device and in any memory layout. They may share memory.
        config: plain values, see :func:`adamas.core.config.to_dict`.
        trainer: nested dictionaries, lists and tuples of tensors, numbers, strings and None.
        keep: number of checkpoints up to this step that are kept, at least 2.
        parts: for sharded state, by name: a function with which all processes write into the given folder.

    Returns:
        The folder of the checkpoint.

    Raises:
        UserError: if it cannot be written. Earlier checkpoints are then untouched.
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
        (temporary / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
        _write_trainer(temporary / "trainer.pt", trainer)
        for name, write in parts.items():
            (temporary / "parts" / name).mkdir(parents=True)
            write(temporary / "parts" / name)
        write_manifest(temporary, step)
        _publish(temporary, target)
        write_file(root / "latest", f"{target.name}\n")
        _prune(root, step, keep)
    except Exception as error:
        with contextlib.suppress(OSError):  # the next save tries again
            _tidy(root)
        if not isinstance(error, OSError):
            raise
        raise UserError(
            f"cannot write checkpoint {target}: {error.strerror}; earlier checkpoints are intact: "
            f"free space there and resume the run {root.parent}"
        ) from error
    return target


def find_checkpoint(root: Path) -> Checkpoint:
    """Find the newest intact checkpoint in ``root``. Damaged checkpoints are skipped with a warning.

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
    """Write the state of the training loop, and check that it can be read back.

    State that cannot be read back must fail here, not days later when the run is resumed.
    """
    try:
        with path.open("wb") as file:
            torch.save(trainer, file)
    except RuntimeError as error:  # PyTorch replaces the OSError of a full disk by a RuntimeError
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise
    torch.load(path, map_location="cpu", weights_only=True, mmap=True)  # tensors stay on the disk


def _publish(temporary: Path, target: Path) -> None:
    """Rename the complete folder to ``target``, replacing an earlier one."""
    for path in temporary.rglob("*"):
        sync(path)
    sync(temporary)
    aside = target.with_name(target.name + ".old")
    if target.exists():  # a single rename cannot replace a folder that is not empty
        target.rename(aside)
    temporary.rename(target)
    sync(target.parent)
    if aside.exists():
        _remove(aside)


def _prune(root: Path, step: int, keep: int) -> None:
    """Remove all but the newest ``keep`` checkpoints up to ``step``.

    Checkpoints of later steps are kept and not counted. They exist if the run was resumed from an earlier one, because
    they were damaged.
    """
    steps = sorted((int(match[1]), path) for path, match in _folders(root) if int(match[1]) <= step)
    for _, path in steps[:-keep]:
        _remove(path)


def _tidy(root: Path) -> None:
    """Clean up after a save that did not finish."""
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
    """Remove a checkpoint. It is renamed first, so that a partly removed folder is never used as a checkpoint."""
    doomed = folder.with_name(folder.name + ".tmp")
    folder.rename(doomed)
    shutil.rmtree(doomed)
