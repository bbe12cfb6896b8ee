"""``adamas plan``: predict how long a run takes and how much memory it needs."""

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

from adamas.agent import AgentConfig
from adamas.bench.accelerator import wait
from adamas.bench.contents import agent_config, outline, phases, stand_in_note
from adamas.bench.flops import run_flops
from adamas.bench.peak import peak_gflops, precision_of
from adamas.bench.workloads import small_run, update_row
from adamas.core.arguments import parse
from adamas.core.console import console
from adamas.core.errors import UserError
from adamas.core.progress import duration
from adamas.presets import preset_for
from adamas.training.config import Config
from adamas.training.source import num_epochs
from adamas.training.update_phases import planned_updates

MEASURED_UPDATES = 3
LONG_ENOUGH = 5.0  # seconds of updates of one kind after which no further one is timed
PATIENCE = 30.0  # seconds that the timing may take at peak speed; if it takes longer, nothing is timed
TRAINED_COPIES = 4  # weights, their gradients, and the optimiser's two moments
FLOAT_BYTES = 4


@dataclass(frozen=True)
class PlanOptions:
    """Predict how long a run takes, without the games of its evaluations, and how much memory it needs."""

    config: Annotated[Config, tyro.conf.arg(name=""), tyro.conf.FlagConversionOff]
    profile: Path | None = None
    """File that adamas bench --json wrote on the machine to plan for. By default, a few updates are timed on this
    machine. For networks that are too big for it, a lower bound is computed from their number of operations."""


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
    """The plan of a run whose updates take ``seconds``, by phase."""
    epochs = range(1, planned_epochs(config) + 1)
    return Plan(seconds, {name: [_updates(config, name, epoch) for epoch in epochs] for name in seconds})


def planned_epochs(config: Config) -> int:
    """Epochs of a whole run, if the first one begins after the least number of real steps."""
    if (game := config.game_parts) is None:
        return config.final_epochs
    return num_epochs(game.collection, config.final_epochs, game.collection.first_steps)


def _updates(config: Config, phase: str, epoch: int) -> int:
    """Updates of a phase in an epoch. The steps before the first epoch count as part of it."""
    if phase not in ("actor_critic", "collect"):
        return planned_updates(config.training.component(phase), epoch)
    game = config.game_parts
    assert game is not None  # other runs have no such phase
    if phase == "actor_critic":
        return planned_updates(game.training, epoch)
    collection = game.collection
    left = collection.total_steps - collection.first_steps - (epoch - 1) * collection.steps_per_epoch
    parts = [collection.first_steps] if epoch == 1 else []
    parts.append(max(0, min(left, collection.steps_per_epoch)))
    steps = (-(-part // collection.num_envs) for part in parts)  # of each environment
    return sum(-(-n // game.training.steps_per_update) for n in steps)


def seconds_by_profile(config: Config, agent: AgentConfig, profile: Path) -> dict[str, float]:
    """Seconds of an update by phase, from its number of operations and the speeds in a profile of another machine.

    Raises:
        UserError: the profile lacks a kind of update that the run makes.
    """
    rows = {phase: update_row(phase) for phase in phases(config, outline(agent))}
    try:
        measured = {row["row"]: row["fast"]["gflops"] for row in json.loads(profile.read_text())["rows"]}
        speeds = {phase: float(measured[row]) for phase, row in rows.items()}
        if not min(speeds.values()) > 0:
            raise ValueError(speeds)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"it needs rows {', '.join(rows.values())}"
        raise UserError(
            f"{profile} is no profile: {reason}; write one with: adamas bench --json FILE"
        ) from error
    flops = run_flops(config, agent).updates
    return {phase: flops[phase] / speed / 1e9 for phase, speed in speeds.items()}


def least_seconds(config: Config, agent: AgentConfig, gflops: float) -> dict[str, float]:
    """Seconds of an update by phase at ``gflops``, the speed of a bare convolution: a lower bound."""
    return {phase: flops / gflops / 1e9 for phase, flops in run_flops(config, agent).updates.items()}


def seconds_here(config: Config) -> dict[str, float]:
    """Seconds of an update by phase: the median of a few on this machine."""
    with (
        tempfile.TemporaryDirectory(prefix="adamas-plan-") as folder,
        closing(small_run(config, Path(folder) / "run")) as trainer,
    ):
        learn = {name: trainer.phases[name] for name in phases(config, trainer.agent)}
        for phase in learn.values():
            phase.begin(1)
            phase.update()  # the first one is slower
        return {name: _median_seconds(phase.update, trainer.device) for name, phase in learn.items()}


def _median_seconds(update: Callable[[], object], device: torch.device) -> float:
    wait(device)
    times: list[float] = []
    while len(times) < MEASURED_UPDATES and sum(times) < LONG_ENOUGH:
        began = time.perf_counter()
        update()
        wait(device)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def memory_bytes(config: Config, agent: AgentConfig) -> dict[str, int]:
    """Bytes of the weights with their gradients and optimiser states, and of the replay at the end of a run on a game.

    Activations come on top; the peak memory that ``adamas bench`` prints includes them.
    """
    model = outline(agent)
    components = model.world_model.components(config.horizon)
    weights = _count(model)
    for name in phases(config, model):
        if name in ("actor_critic", "collect"):
            weights += (TRAINED_COPIES - 1) * _count(model.policy)
        else:
            averaged = config.training.component(name).average_decay > 0
            weights += (TRAINED_COPIES - 1 + averaged) * _count(components[name].module)
    memory = {"weights": FLOAT_BYTES * weights}
    if (game := config.game_parts) is not None:
        memory["replay"] = game.collection.total_steps * int(np.prod(agent.obs_shape))
    return memory


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def show_plan(arguments: Sequence[str]) -> None:
    """``adamas plan PRESET``: print the table."""
    if not arguments or arguments[0].startswith("-"):
        raise UserError("plan needs a preset, for example: adamas plan quickstart (adamas plan --help)")
    name = arguments[0]
    default = PlanOptions(preset_for(name, arguments[1:]))
    options = parse(PlanOptions, arguments[1:], f"plan {name}", default)
    config, profile = options.config, options.profile
    agent = agent_config(config)
    if note := stand_in_note(config):
        print(note)
    if profile is not None:
        seconds, timed = seconds_by_profile(config, agent, profile), True
    else:
        seconds, timed = seconds_or_least(config, agent)
    _print_table(plan(config, seconds), "" if timed else ", at least")
    if not timed:
        print(
            "nothing was timed, because that would take long here. These times assume that all operations run at the "
            "speed of a bare convolution; a run takes longer. To plan for another machine, run there: adamas bench "
            f"{name} --json FILE; then run here: adamas plan {name} --profile FILE"
        )
    memory = memory_bytes(config, agent)
    print("memory: " + ", ".join(f"{what} {count / 1e6:,.0f} MB" for what, count in memory.items()))
    games = {"on": "; real games come on top", "off": ", real steps included; evaluations come on top"}
    print(f"{planned_epochs(config)} epochs{games[config.imagination] if config.data is None else ''}")


def seconds_or_least(config: Config, agent: AgentConfig) -> tuple[dict[str, float], bool]:
    """Seconds of an update by phase on this machine, and whether they were timed or are lower bounds."""
    peak = peak_gflops(config.runtime.device, precision_of(config))
    least = least_seconds(config, agent, peak)
    if (1 + MEASURED_UPDATES) * sum(least.values()) > PATIENCE:
        return least, False
    return seconds_here(config), True


def _print_table(result: Plan, how_sure: str) -> None:
    table = Table("", f"an update{how_sure}", "first epoch", "another", "all epochs", box=None)
    for phase, seconds in result.seconds.items():
        updates = result.updates[phase]
        parts = (seconds * sum(part) for part in (updates[:1], updates[1:2], updates))
        table.add_row(phase, f"{1000 * seconds:,.0f} ms", *map(duration, parts))
    parts = (result.total(epochs) for epochs in (slice(1), slice(1, 2), slice(None)))
    table.add_row("together", "", *map(duration, parts))
    console().print(table)
