"""Metric logging: JSON lines on disk, and optionally TensorBoard and Weights & Biases (W&B)."""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import os
import secrets
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, SupportsFloat

from adamas.core.errors import UserError, not_installed
from adamas.core.files import sync, write_file


class Metrics:
    """Writes the metrics of a run, one JSON object per line, and forwards them to the enabled sinks.

    ``metrics.jsonl`` is the canonical record: the same run gives the same bytes, whether or not it was
    interrupted and resumed. Numbers that depend on the clock or the machine (seconds, speeds, memory) go to
    ``timing.jsonl`` instead. JSON has no NaN and no infinity: they are written as "nan", "inf" and "-inf".

    Every method raises UserError if the files cannot be written.
    """

    def __init__(self, folder: Path, tensorboard: bool = True, wandb: str | None = None) -> None:
        """Open the files for appending, and the sinks.

        Args:
            folder: where the files go. It is created if it does not exist.
            tensorboard: whether to write TensorBoard event files too, to ``folder/tensorboard``.
            wandb: the W&B project to log to, or None.

        Raises:
            UserError: if a sink is not installed.
        """
        self._folder, self._last_step = folder, -1
        with _writing_to(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._tensorboard = _open_tensorboard(folder) if tensorboard else None
        self._wandb = _open_wandb(folder, wandb) if wandb else None
        with _writing_to(folder):
            self._files = {name: (folder / f"{name}.jsonl").open("ab") for name in ("metrics", "timing")}

    def log(self, values: Mapping[str, SupportsFloat], step: int, epoch: int, phase: str) -> None:
        """Record numbers that are determined by the run's configuration and seed.

        Args:
            values: numbers (or tensors of one element) by name. The names "step", "epoch" and "phase" are reserved.
            step: a counter that never decreases within a run. Sinks use it as the x-axis.
            epoch: epoch of the training loop.
            phase: phase of the training loop, such as ``"denoiser"``.
        """
        self._record("metrics", values, step, epoch, phase)

    def log_timing(self, values: Mapping[str, SupportsFloat], step: int, epoch: int, phase: str) -> None:
        """Record numbers that depend on the clock or the machine. The arguments are those of :meth:`log`."""
        self._record("timing", values, step, epoch, phase)

    def _record(
        self, file: str, values: Mapping[str, SupportsFloat], step: int, epoch: int, phase: str
    ) -> None:
        counters = {"step": step, "epoch": epoch, "phase": phase}
        if taken := sorted(values.keys() & counters):
            raise ValueError(f"metrics cannot be named {taken}: every record has these counters")
        numbers = {name: float(value) for name, value in values.items()}
        safe = {name: x if math.isfinite(x) else str(x) for name, x in numbers.items()}
        line = json.dumps(counters | safe, allow_nan=False)
        with _writing_to(self._folder):
            self._files[file].write(line.encode() + b"\n")
            self._files[file].flush()  # so that readers of the growing file see whole lines
        self._last_step = max(self._last_step, step)
        for name, x in numbers.items():
            if self._tensorboard:
                self._tensorboard.add_scalar(f"{phase}/{name}", x, step)
            if self._wandb:
                self._wandb.log({f"{phase}/{name}": x}, step=step)

    def state(self) -> dict[str, int]:
        """Flush everything to disk, and return the position in the record, for a checkpoint.

        Call it when the current step has nothing more to log, because TensorBoard rewinds by whole steps.
        """
        with _writing_to(self._folder):
            for file in self._files.values():
                sync(Path(file.name))
        if self._tensorboard:
            self._tensorboard.flush()
        sizes = {name: os.fstat(file.fileno()).st_size for name, file in self._files.items()}
        return {**sizes, "last_step": self._last_step}

    def restore(self, state: Mapping[str, int]) -> None:
        """Remove the records made after ``state`` was taken. Call it before anything is logged."""
        for name, file in self._files.items():
            size = os.fstat(file.fileno()).st_size
            if size < state[name]:
                path = self._folder / f"{name}.jsonl"
                warnings.warn(
                    f"{path} lost records made before the checkpoint; appending to what is left", stacklevel=2
                )
            with _writing_to(self._folder):
                file.truncate(min(size, state[name]))
        self._last_step = state["last_step"]
        if self._tensorboard:
            self._tensorboard.close()
            self._tensorboard = _open_tensorboard(self._folder, purge_step=self._last_step + 1)

    def close(self) -> None:
        """Close all files and sinks."""
        for file in self._files.values():
            file.close()
        if self._tensorboard:
            self._tensorboard.close()
        if self._wandb:
            self._wandb.finish()


@contextlib.contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write metrics to {folder}: {error.strerror}; free space there and resume the run"
        ) from error


def _open_tensorboard(folder: Path, purge_step: int | None = None) -> Any:
    """Make a SummaryWriter. TensorBoard ignores records of earlier files at ``purge_step`` and later."""
    try:
        from torch.utils.tensorboard import SummaryWriter  # imports slowly
    except ImportError as error:
        raise not_installed("tensorboard", "tensorboard") from error
    return SummaryWriter(str(folder / "tensorboard"), purge_step=purge_step)


def _open_wandb(folder: Path, project: str) -> Any:
    """Open the same W&B run each time. W&B skips steps that it already has when a resumed run repeats them."""
    try:
        wandb = importlib.import_module("wandb")
    except ImportError as error:
        raise not_installed("wandb", "wandb") from error
    identity = folder / "wandb-id.txt"
    if not identity.exists():
        write_file(identity, secrets.token_hex(4))
    return wandb.init(project=project, dir=str(folder), id=identity.read_text(), resume="allow")
