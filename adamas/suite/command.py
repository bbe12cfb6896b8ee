"""``adamas suite``: start or resume a run for every game and seed, and show their status."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.table import Table

from adamas.core.arguments import parse
from adamas.core.console import console
from adamas.core.errors import UserError
from adamas.evaluation.scores import references
from adamas.presets import preset
from adamas.report.runs import read_run
from adamas.suite.backends import run_local, run_ray, slurm_script
from adamas.suite.jobs import Job, make_jobs, parse_seeds


@dataclass(frozen=True)
class SuiteOptions:
    """Run a preset on games times seeds. Called again, it goes on with what is not finished."""

    options: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """After --, options of adamas train for all runs."""
    games: tuple[str, ...] = ()
    """Names, by spaces or commas; not given: the 26 of Atari 100k, or the preset's own if that is no Atari game."""
    seeds: str = "0-4"
    out: Path | None = None
    """Folder of the runs. None: runs/PRESET."""
    backend: Literal["local", "ray", "slurm-script"] = "local"
    """This machine; a Ray cluster (RAY_ADDRESS, or one on this machine); or print a script for SLURM."""
    workers: int = 1
    """Runs at a time, on this machine or under SLURM."""
    cpus: float = 1
    """Cores that a run needs, under Ray."""
    gpus: float = 0
    """GPUs that a run needs, under Ray."""

    def __post_init__(self) -> None:
        if self.workers < 1 or self.cpus < 0 or self.gpus < 0:
            raise UserError(
                f"workers must be >= 1, cpus and gpus >= 0, got {self.workers}, {self.cpus} and {self.gpus}"
            )


def suite(arguments: Sequence[str]) -> None:
    """Start or resume all unfinished runs of a suite, or show their status."""
    if not arguments or arguments[0].startswith("-"):
        raise UserError("suite needs a preset, for example: adamas suite atari100k --seeds 0-4")
    status = arguments[0] == "status"
    words = arguments[1:] if status else arguments
    if not words or words[0].startswith("-"):
        raise UserError("suite status needs a preset or a folder of runs")
    if status and Path(words[0]).is_dir():
        return _print_status(_jobs_in(Path(words[0])))
    name = words[0]
    options = parse(SuiteOptions, words[1:], f"suite {name}", SuiteOptions())
    config = preset(name)
    games = [game for names in options.games for game in names.split(",") if game]
    if not games:
        games = list(references()) if config.env.suite == "atari" else [config.env.game]
    jobs = make_jobs(
        name, games, parse_seeds(options.seeds), options.out or Path("runs") / name, options.options
    )
    if status:
        return _print_status(jobs)
    if options.backend == "slurm-script":
        return print(slurm_script(jobs, options.workers), end="")
    _run([job for job in jobs if not job.finished], options)
    _print_status(jobs)
    if left := sum(not job.finished for job in jobs):
        raise UserError(
            f"{left} of {len(jobs)} runs are not finished; run the same command again to continue"
        )


def _run(jobs: Sequence[Job], options: SuiteOptions) -> None:
    def on_end(job: Job, reason: str) -> None:
        print(f"{job.run_dir}: {reason or 'finished'}", flush=True)

    # The runs inherit this setting, so that parallel runs share the cores.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // options.workers)))
    if options.backend == "ray":
        run_ray(jobs, options.cpus, options.gpus, on_end)
    else:
        run_local(jobs, options.workers, on_end)


def _jobs_in(folder: Path) -> list[Job]:
    """Find the runs in a folder, no matter how they were started."""
    runs = sorted(path.parent for path in folder.glob("*/config.yaml"))
    if not runs:
        raise UserError(f"there is no run in {folder}; start some with: adamas suite PRESET --out {folder}")
    return [Job("", "", 0, run) for run in runs]


def _print_status(jobs: Sequence[Job]) -> None:
    table = Table("run", "state", "epoch", "real steps", "score", box=None)
    for job in jobs:
        if not job.begun:
            table.add_row(job.run_dir.name, "not begun", "", "", "")
            continue
        run = read_run(job.run_dir)
        epoch = str(run.metrics[-1]["epoch"]) if run.metrics else "0"
        score = "" if run.score is None else f"{run.score:,.2f}"
        state = "finished" if job.finished else "begun"
        table.add_row(job.run_dir.name, state, epoch, f"{run.real_steps:,}", score)
    console().print(table)
    print(f"{sum(job.finished for job in jobs)} of {len(jobs)} finished")
