"""Resuming a run: the options that may change, and restoring the state from a checkpoint."""

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
class ShardedState(Protocol):
    """A phase whose tensors are sharded: each process holds a part of every tensor."""

    def save_parts(self, folder: Path) -> None:
        """Write the parts of all processes into a new folder."""
        ...

    def load_parts(self, state: Mapping[str, Any], folder: Path) -> None:
        """Continue from this process's parts of the tensors in ``folder``, and from the rest of the phase's state."""
        ...


@dataclass(frozen=True)
class Changes:
    """The options that may change when a run is resumed. None keeps the saved value. Changes are saved.

    Attributes:
        device: the device that computes from now on.
        final_epochs: the total number of final epochs of the run.
        data: the folder or address where the recordings are now.
    """

    device: Literal["auto", "cpu", "cuda", "mps"] | None = None
    final_epochs: int | None = None
    data: str | None = None


def saved_config(checkpoint: Checkpoint) -> Config:
    """The configuration of the run that wrote a checkpoint.

    Raises:
        UserError: the checkpoint holds no such configuration.
    """
    return from_dict(Config, checkpoint.config().get("run"), "run")  # type: ignore[arg-type]  # None is refused


def changed(config: Config, changes: Changes, run_dir: Path) -> Config:
    """The configuration with which the run in ``run_dir`` continues.

    Raises:
        UserError: the recordings or the device are missing, or the changes have recordings but the run plays a game.
    """
    if changes.data is not None and config.data is None:
        raise UserError(f"{run_dir} learns from a game, not from recordings; leave out `data`")
    if config.data is not None:
        place = absolute(_place(config.data, run_dir) if changes.data is None else changes.data)
        if not is_url(place) and not Path(place).is_dir():
            raise UserError(
                f"the recordings of {run_dir} are not in {place}; name the folder where they are now with `data`"
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
            f"`device` is {config.runtime.device!r} in {run_dir}, but this machine has none; choose another one "
            "to resume on, such as auto"
        ) from error
    return config


def absolute(place: str) -> str:
    """Make a path absolute, so that it does not depend on the working directory. URLs stay as they are."""
    return place if is_url(place) else str(Path(place).absolute())


def _place(data: str, run_dir: Path) -> str:
    """Where a run's recordings are. Older runs saved a relative path, but their link has the absolute path."""
    link = run_dir / "dataset"
    if has_own_recordings(run_dir):
        return str(link)
    return os.readlink(link) if link.is_symlink() and not Path(data).is_absolute() else data


def restore_learning(
    checkpoint: Checkpoint, agent: Agent, phases: Mapping[str, Phase], streams: Streams
) -> dict[str, Any]:
    """Restore the weights, phases and random streams from a checkpoint, and return its whole trainer state.

    Raises:
        UserError: the checkpoint does not fit the run.
    """
    weights, state = checkpoint.agent_weights(), checkpoint.trainer_state()
    try:
        agent.load_state_dict(agent.config.own_weights(weights))
        for name, phase in phases.items():
            saved, folder = state["phases"][name], checkpoint.parts_folder(name)
            if folder is None:
                phase.load_state_dict(saved)
            elif isinstance(phase, ShardedState):
                phase.load_parts(saved, folder)
            else:
                from adamas.training.parts import whole_state  # needs a newer PyTorch

                phase.load_state_dict(whole_state(saved, folder))
        streams.load_state_dict(state["streams"], checkpoint.step)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, OSError, PickleError) as error:
        raise misfit(checkpoint, error) from error
    return state


def misfit(checkpoint: Checkpoint, error: Exception) -> UserError:
    """The error for a readable checkpoint whose content does not match this version and this configuration."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return UserError(
        f"checkpoint {checkpoint.path} does not fit its configuration ({reason}); continue with the version of adamas "
        "that wrote it, or with another checkpoint"
    )


def warn_of_differences(streams: Streams, data: str | None, before: int | None, now: int) -> None:
    """Warn if a resumed run will not give exactly the results that an uninterrupted run would give.

    Args:
        streams: the run's restored random streams.
        data: where its recordings are; None if the run plays a game.
        before: number of recorded steps when the run was saved; None if not known.
        now: number of recorded steps now.
    """
    if streams.reseeded:
        warnings.warn(
            f"the run was saved on another kind of device, which draws other random numbers: {len(streams.reseeded)} "
            "random streams start again from its seed and step",
            stacklevel=2,
        )
    if data is not None and before not in (None, now):
        warnings.warn(
            f"{data} holds {now:,} recorded steps, but held {before:,} when the run was saved; the run continues with "
            f"{now:,}",
            stacklevel=2,
        )
