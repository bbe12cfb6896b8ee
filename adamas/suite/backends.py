"""Where the runs of a suite go: this machine, a Ray cluster, or a script for SLURM."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from adamas.commands.train import train
from adamas.core.errors import require
from adamas.core.process import stop_signal
from adamas.suite.jobs import RETRIES, Job

Tell = Callable[[Job, str], None]
"""Called when a run ends: with "" if it is finished, or else with the reason."""


def run_local(jobs: Sequence[Job], workers: int, tell: Tell) -> bool:
    """Run them on this machine, ``workers`` at a time.

    Returns:
        whether it went to its end. On SIGINT or SIGTERM the runs save themselves first.
    """
    with stop_signal() as stop, ThreadPoolExecutor(workers) as pool:

        def work(job: Job) -> str:
            return "" if stop.is_set() else job.run(stop)

        futures = {pool.submit(work, job): job for job in jobs}
        for future in as_completed(futures):
            if not stop.is_set():
                tell(futures[future], future.result())
        return not stop.is_set()


def run_ray(jobs: Sequence[Job], cpus: float, gpus: float, tell: Tell) -> bool:
    """Run them on a Ray cluster: the one that ``RAY_ADDRESS`` names, or one on this machine.

    A run whose worker dies goes on elsewhere, from its checkpoint: its folder must be on a disk that all share.

    Args:
        jobs: the runs.
        cpus: that each needs.
        gpus: that each needs; parts of one are fine.
        tell: told when each ends.

    Returns:
        True: an interruption ends the suite, and Ray ends its workers.

    Raises:
        UserError: Ray is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise require("ray", "suite") from error
    ray.init(log_to_driver=False, ignore_reinit_error=True)

    remote = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES)(_train_here)
    waiting: dict[Any, Job] = {remote.remote(job): job for job in jobs}
    while waiting:
        (ended,), _ = ray.wait(list(waiting))
        job = waiting.pop(ended)
        try:
            ray.get(ended)
        except ray.exceptions.RayTaskError as error:
            tell(job, str(error.cause))
        except ray.exceptions.RayError as error:
            tell(job, f"lost {1 + RETRIES} times ({type(error).__name__})")
        else:
            tell(job, "")
    ray.shutdown()
    return True


def _train_here(job: Job) -> None:
    """In the Ray worker's own process: what ends the worker must end the run as well."""
    train(job.arguments()[1:])


def slurm_script(jobs: Sequence[Job], workers: int) -> str:
    """A batch script for SLURM, with an array task for every run. A requeued task goes on with its run."""
    arrays = {
        "GAMES": [job.game for job in jobs],
        "SEEDS": [str(job.seed) for job in jobs],
        "FOLDERS": [str(job.run_dir.resolve()) for job in jobs],
    }
    lists = "\n".join(f"{name}=({shlex.join(values)})" for name, values in arrays.items())
    options = shlex.join(jobs[0].options)
    return f"""#!/bin/bash
#SBATCH --job-name=adamas-{jobs[0].preset}
#SBATCH --array=0-{len(jobs) - 1}%{workers}
#SBATCH --gres=gpu:1
#SBATCH --requeue
#SBATCH --signal=B:TERM@120
{lists}
game=${{GAMES[$SLURM_ARRAY_TASK_ID]}}
seed=${{SEEDS[$SLURM_ARRAY_TASK_ID]}}
folder=${{FOLDERS[$SLURM_ARRAY_TASK_ID]}}
if [ -f "$folder/config.yaml" ]; then
  exec adamas train --resume "$folder" --env.game "$game" --quiet
fi
exec adamas train {jobs[0].preset} --env.game "$game" --seed "$seed" --run-dir "$folder" {options} --quiet
"""
