"""``adamas suite``: run a preset on several games and seeds, and show how far the runs are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.table import Table

from adamas.commands.common import first_argument
from adamas.core.arguments import parse
from adamas.core.checks import check_range
from adamas.core.console import console
from adamas.core.errors import Interrupted, UserError
from adamas.evaluation.scores import references
from adamas.presets import preset
from adamas.report.runs import read_run
from adamas.suite.backends import run_local, run_ray, slurm_script
from adamas.suite.jobs import Job, make_jobs, parse_seeds


@dataclass(frozen=True)
class SuiteOptions:
    """Run a preset on every game and seed. Run the same command again to continue the runs that are not finished."""

    options: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="-- OPTION ...")] = ()
    """Options of adamas train for all runs. They come last, after two dashes."""
    games: tuple[str, ...] = ()
    """Names of the games, separated by spaces or commas. By default, the 26 games of Atari 100k for a preset of an
    Atari game, and the preset's own game for any other."""
    seeds: str = "0-4"
    """Seeds of the runs, as ranges or separated by commas: 0-4, 7 or 0,3,5-6."""
    out: Path | None = None
    """Folder of the runs. By default, runs/PRESET."""
    backend: Literal["local", "ray", "slurm-script"] = "local"
    """Where the runs are computed. local: on this machine. ray: on the Ray cluster that the variable RAY_ADDRESS
    names, or on one that is started on this machine. slurm-script: nothing is run, and a batch script for SLURM is
    printed."""
    workers: int = 1
    """Number of runs at the same time, with local and slurm-script; at least 1."""
    cpus: float = 1
    """Number of CPU cores that Ray reserves for each run. Fractions are allowed; 0 reserves none."""
    gpus: float = 0
    """Number of GPUs that Ray reserves for each run. Fractions share a GPU; 0 reserves none."""

    def __post_init__(self) -> None:
        check_range("workers", self.workers, least=1)
        check_range("cpus", self.cpus, least=0)
        check_range("gpus", self.gpus, least=0)


def suite(arguments: Sequence[str]) -> None:
    """Run what is not finished, then show how far every run is."""
    name, rest = first_argument(
        arguments, "suite", "a preset, for example: adamas suite atari100k --seeds 0-4"
    )
    options = parse(SuiteOptions, rest, f"suite {name}", SuiteOptions())
    jobs = _jobs(name, options)
    if options.backend == "slurm-script":
        return print(slurm_script(jobs, options.workers), end="")
    ended = _run([job for job in jobs if not job.finished], options)
    _print_status(jobs)
    if left := sum(not job.finished for job in jobs):
        message = f"{left} of {len(jobs)} runs are not finished; run the same command again to continue them"
        raise UserError(message) if ended else Interrupted(message)


def show_status(arguments: Sequence[str]) -> None:
    """Show how far the runs of a suite, or in a folder, are."""
    name, rest = first_argument(arguments, "suite status", "a preset or a folder of runs")
    if Path(name).is_dir():
        if rest:
            raise UserError(f"suite status shows all runs in the folder {name}; leave out {rest[0]}")
        return _print_status(_jobs_in(Path(name)))
    _print_status(_jobs(name, parse(SuiteOptions, rest, f"suite status {name}", SuiteOptions())))


def _jobs(name: str, options: SuiteOptions) -> list[Job]:
    """The runs of a preset that the options ask for. Raises UserError if the preset plays no game."""
    game = preset(name).env
    if game is None:
        raise UserError(f"{name} learns from recordings, and a suite plays games; choose a preset for games")
    games = [word for words in options.games for word in words.split(",") if word]
    if not games:
        games = list(references()) if game.suite == "atari" else [game.game]
    folder = options.out or Path("runs") / name
    return make_jobs(name, games, parse_seeds(options.seeds), folder, options.options)


def _run(jobs: Sequence[Job], options: SuiteOptions) -> bool:
    """Run jobs; returns whether they ran to their end, instead of being interrupted."""

    def tell(job: Job, reason: str) -> None:
        print(f"{job.run_dir}: {reason or 'finished'}", flush=True)

    if options.backend == "ray":
        return run_ray(jobs, options.cpus, options.gpus, tell)
    # The runs inherit this variable, so that each uses its share of the cores.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // options.workers)))
    return run_local(jobs, options.workers, tell)


def _jobs_in(folder: Path) -> list[Job]:
    """The runs in a folder, however they were started."""
    runs = sorted(path.parent for path in folder.glob("*/config.yaml"))
    if not runs:
        raise UserError(f"there is no run in {folder}; start some with: adamas suite PRESET")
    return [Job("", "", 0, run) for run in runs]


def _print_status(jobs: Sequence[Job]) -> None:
    table = Table("run", "state", "epoch", "real steps", "score", box=None)
    for job in jobs:
        if not job.begun:
            table.add_row(job.run_dir.name, "not begun", "", "", "")
            continue
        run = read_run(job.run_dir)
        epoch = str(run.metrics[-1].epoch) if run.metrics else "0"
        score = "" if run.score is None else f"{run.score:,.2f}"
        state = "finished" if job.finished else "begun"
        table.add_row(job.run_dir.name, state, epoch, f"{run.real_steps:,}", score)
    console().print(table)
    print(f"{sum(job.finished for job in jobs)} of {len(jobs)} finished")
