"""Resuming a run: which options may change, and how its state is restored from a checkpoint."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from pickle import PickleError
from typing import Any, Literal, Protocol, runtime_checkable

from adamas.agent import Agent
from adamas.core import runtime
from adamas.core.checkpoint import Checkpoint
from adamas.core.config import from_dict
from adamas.core.errors import UserError
from adamas.core.seeding import Streams
from adamas.data.locations import is_url
from adamas.training.config import Config
from adamas.training.folder import has_own_recordings
from adamas.training.phases import Phase


@runtime_checkable
class InParts(Protocol):
    """A phase whose processes each hold a part of its tensors."""

    def save_parts(self, folder: Path) -> None:
        """Write all parts into a new folder, each process its own."""
        ...

    def load_parts(self, state: Mapping[str, Any], folder: Path) -> None:
        """Continue from the rest of the phase's state, and this process's parts of what was written to ``folder``."""
        ...


@dataclass(frozen=True)
class Changes:
    """What may change when a run goes on; None leaves it as it was. What changes stays changed.

    Attributes:
        device: where it computes from now on.
        final_epochs: how many final epochs the run has in total.
        data: where its recordings are now.
    """

    device: Literal["auto", "cpu", "cuda", "mps"] | None = None
    final_epochs: int | None = None
    data: str | None = None


def saved_config(checkpoint: Checkpoint) -> Config:
    """The configuration of the run that a checkpoint is from.

    Raises:
        UserError: it describes none.
    """
    return from_dict(Config, checkpoint.config().get("run"), "run")  # type: ignore[arg-type]  # None is refused


def changed(config: Config, changes: Changes, run_dir: Path) -> Config:
    """The configuration with which the run in ``run_dir`` goes on.

    Raises:
        UserError: the recordings or the device are not there, or the run plays a game instead.
    """
    command = f"adamas train --resume {run_dir}"
    if changes.data is not None and config.data is None:
        raise UserError(f"{run_dir} learns from a game, not from recordings; leave out --data")
    if config.data is not None:
        place = absolute(_place(config.data, run_dir) if changes.data is None else changes.data)
        if not is_url(place) and not Path(place).is_dir():
            raise UserError(
                f"the recordings of {run_dir} are not in {place}; say where they are now: {command} --data FOLDER"
            )
        config = replace(config, data=place)
    if changes.final_epochs is not None:
        config = replace(config, final_epochs=changes.final_epochs)
    if changes.device is not None:
        config = replace(config, runtime=replace(config.runtime, device=changes.device))
    try:
        runtime.choose_device(config.runtime.device)
    except UserError as error:
        raise UserError(
            f"there is no device {config.runtime.device} here, but {run_dir} is to be trained on it; resume on another "
            f"device: {command} --device auto"
        ) from error
    return config


def absolute(place: str) -> str:
    """A place that means the same in every working directory."""
    return place if is_url(place) else str(Path(place).absolute())


def _place(data: str, run_dir: Path) -> str:
    """Where the recordings are. Older runs wrote down what the user had typed, which the run's link made absolute."""
    link = run_dir / "dataset"
    if has_own_recordings(run_dir):
        return str(link)
    return os.readlink(link) if link.is_symlink() and not Path(data).is_absolute() else data


def restore_learning(
    checkpoint: Checkpoint, agent: Agent, phases: Mapping[str, Phase], streams: Streams
) -> dict[str, Any]:
    """Continue with the weights, phases and random streams of a checkpoint; returns all that it holds.

    Raises:
        UserError: the checkpoint does not fit the run.
    """
    weights, state = checkpoint.agent(), checkpoint.trainer()
    try:
        agent.load_state_dict(weights)
        for name, phase in phases.items():
            saved, folder = state["phases"][name], checkpoint.parts(name)
            if folder is None:
                phase.load_state_dict(saved)
            elif isinstance(phase, InParts):
                phase.load_parts(saved, folder)
            else:
                from adamas.training.parts import whole_state  # not every PyTorch has what it needs

                phase.load_state_dict(whole_state(saved, folder))
        streams.load_state_dict(state["streams"], checkpoint.step)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, OSError, PickleError) as error:
        raise misfit(checkpoint, error) from error
    return state


def misfit(checkpoint: Checkpoint, error: Exception) -> UserError:
    """The error for a checkpoint that is readable, but not as this version writes it for this configuration."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return UserError(
        f"checkpoint {checkpoint.path} does not fit its configuration ({reason}); go on with the adamas that "
        "wrote it, or with another checkpoint"
    )


def say_what_changed(streams: Streams, data: str | None, before: int | None, now: int) -> None:
    """Warn, in one line each, if a run does not go on exactly as it would have gone on where it was saved.

    Args:
        streams: the run's random streams, restored.
        data: where its recordings are; None: there is a game.
        before: recorded steps when it was saved; None: not known.
        now: recorded steps there are.
    """
    if streams.reseeded:
        warnings.warn(
            f"the run was saved on another kind of device, which draws other random numbers: {len(streams.reseeded)} "
            "random streams begin anew from its seed and step",
            stacklevel=2,
        )
    if data is not None and before not in (None, now):
        warnings.warn(
            f"{data} holds {now:,} recorded steps, and held {before:,} when the run was saved; it goes on with these",
            stacklevel=2,
        )
