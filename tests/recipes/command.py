"""Example of a command: ``adamas count RUN``, which counts the real steps that a run recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adamas.commands.common import find_target
from adamas.core.arguments import parse
from adamas.core.errors import UserError
from adamas.data.store import EpisodeStore


@dataclass(frozen=True)
class Count:
    """Count the real steps that a run recorded."""

    episodes: bool = False
    """Count episodes instead of steps."""


def count(arguments: Sequence[str]) -> None:
    """Print a line for each dataset of the run."""
    target, _, rest = find_target(arguments, "count")
    options = parse(Count, rest, "count")
    if not target.datasets:
        raise UserError(f"{target} holds no recorded episodes; name the folder of a run")
    for name, folder in target.datasets.items():
        store = EpisodeStore.open(folder)
        print(f"{name}: {store.num_episodes if options.episodes else store.num_steps}")
