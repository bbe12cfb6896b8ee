"""``adamas plan``: how long a run will take, and how much memory, before it is started."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from rich.table import Table

from adamas.agent import Agent, AgentConfig
from adamas.bench.flops import update_flops
from adamas.bench.rows import small_run, wait
from adamas.core.arguments import parse
from adamas.core.console import console
from adamas.core.errors import UserError
from adamas.core.progress import duration
from adamas.envs.make import make_env
from adamas.presets import preset
from adamas.training.config import Config
from adamas.training.learning import planned_updates

PHASES = {
    "denoiser": "denoiser update",
    "reward_end": "reward/end update",
    "actor_critic": "actor-critic update",
}
"""Rows of the benchmark that say how fast each phase is."""
MEASURED_UPDATES = 3
WEIGHT_COPIES = 5  # weights, their gradients, two moments, an average


@dataclass(frozen=True)
class PlanOptions:
    """Predict how long a run takes, without its real games, and how much memory it needs."""

    config: Annotated[Config, tyro.conf.arg(name=""), tyro.conf.FlagConversionOff]
    profile: Path | None = None
    """What ``adamas bench --json`` wrote on the machine to plan for. Not given: a few updates are timed here."""


@dataclass(frozen=True)
class Plan:
    """Seconds of one update of each phase, and how often each is made."""

    seconds: Mapping[str, float]
    updates: Mapping[str, Sequence[int]]
    """Of each phase, in every epoch."""

    def total(self, epochs: slice = slice(None)) -> float:
        """Seconds of some epochs together."""
        return sum(self.seconds[name] * sum(updates[epochs]) for name, updates in self.updates.items())


def plan(config: Config, seconds: Mapping[str, float]) -> Plan:
    """Multiply out what one update takes; ``seconds`` by phase."""
    left = config.collection.total_steps - config.collection.first_steps
    num_epochs = -(-left // config.collection.steps_per_epoch) + config.final_epochs
    updates = {
        name: [planned_updates(getattr(config, _section(name)), epoch) for epoch in range(1, num_epochs + 1)]
        for name in PHASES
    }
    return Plan(seconds, updates)


def _section(phase: str) -> str:
    """The part of the configuration that a phase is trained by."""
    return "policy" if phase == "actor_critic" else phase


def seconds_by_profile(config: Config, profile: Path) -> dict[str, float]:
    """Seconds of an update, from the operations it takes and the speed measured elsewhere.

    Raises:
        UserError: the profile does not hold the three kinds of updates.
    """
    try:
        rows = {row["row"]: row["fast"]["gflops"] for row in json.loads(profile.read_text())["rows"]}
        speeds = {phase: float(rows[row]) for phase, row in PHASES.items()}
        if not min(speeds.values()) > 0:
            raise ValueError(speeds)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = (
            error.strerror if isinstance(error, OSError) else f"it needs rows {', '.join(PHASES.values())}"
        )
        raise UserError(
            f"{profile} is no profile: {reason}; write one with: adamas bench --json FILE"
        ) from error
    flops = update_flops(config, _agent(config))
    return {phase: flops[phase] / speeds[phase] / 1e9 for phase in PHASES}


def seconds_here(config: Config) -> dict[str, float]:
    """Seconds of an update, from a few of each on this machine: the median."""
    with (
        tempfile.TemporaryDirectory(prefix="adamas-plan-") as folder,
        closing(small_run(config, Path(folder) / "run")) as trainer,
    ):
        for name in PHASES:
            trainer.phases[name].begin(1)
            trainer.phases[name].update()  # the first one is slower
        return {name: _median_seconds(trainer.phases[name].update, trainer.device) for name in PHASES}


def _median_seconds(update: Callable[[], object], device: torch.device) -> float:
    wait(device)
    times = []
    for _ in range(MEASURED_UPDATES):
        began = time.perf_counter()
        update()
        wait(device)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def memory_bytes(config: Config) -> dict[str, int]:
    """Of the replay at the end of the run, and of all that is kept for the weights.

    What an update computes on the way comes on top: the benchmark's peak memory shows it.
    """
    agent = _agent(config)
    weights = sum(parameter.numel() for parameter in agent.parameters()) * 4
    replay = config.collection.total_steps * int(np.prod(agent.config.obs_shape))
    return {"replay": replay, "weights": WEIGHT_COPIES * weights}


def _agent(config: Config) -> Agent:
    with closing(make_env(config.env, 1, 0, training=True)) as env:
        sizes = AgentConfig(env.obs_shape, env.action_spec, config.world_model, config.actor_critic)
    return Agent(sizes)


def show_plan(arguments: Sequence[str]) -> None:
    """``adamas plan PRESET``: print the table."""
    if not arguments or arguments[0].startswith("-"):
        raise UserError("plan needs a preset, for example: adamas plan quickstart")
    name = arguments[0]
    options = parse(PlanOptions, arguments[1:], f"plan {name}", PlanOptions(preset(name)))
    config, profile = options.config, options.profile
    result = plan(config, seconds_here(config) if profile is None else seconds_by_profile(config, profile))
    table = Table("", "an update", "first epoch", "another", "all epochs", box=None)
    for phase, seconds in result.seconds.items():
        updates = result.updates[phase]
        parts = (seconds * sum(part) for part in (updates[:1], updates[1:2], updates))
        table.add_row(phase, f"{1000 * seconds:,.0f} ms", *map(duration, parts))
    parts = (result.total(epochs) for epochs in (slice(1), slice(1, 2), slice(None)))
    table.add_row("together", "", *map(duration, parts))
    console().print(table)
    memory = memory_bytes(config)
    print(f"memory: replay {memory['replay'] / 1e6:,.0f} MB, weights {memory['weights'] / 1e6:,.0f} MB")
    print(f"{len(result.updates['denoiser'])} epochs; real games come on top")
