"""Backends that execute the runs of a suite: this machine, a Ray cluster, or a batch script for SLURM."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from adamas.commands.train import train
from adamas.core.errors import not_installed
from adamas.core.process import stop_signal
from adamas.envs.trust import trust_named
from adamas.suite.jobs import RETRIES, Job

OnEnd = Callable[[Job, str], None]
"""Callback for the end of a run. It gets "" if the run is finished, and otherwise the reason."""


def run_local(jobs: Sequence[Job], workers: int, on_end: OnEnd) -> bool:
    """Execute runs on this machine, ``workers`` at a time.

    Returns:
        False if SIGINT or SIGTERM interrupted it (the runs save a checkpoint first), otherwise True.
    """
    with stop_signal() as stop, ThreadPoolExecutor(workers) as pool:

        def work(job: Job) -> str:
            return "" if stop.is_set() else job.run(stop)

        futures = {pool.submit(work, job): job for job in jobs}
        for future in as_completed(futures):
            if not stop.is_set():
                on_end(futures[future], future.result())
        return not stop.is_set()


def run_ray(jobs: Sequence[Job], cpus: float, gpus: float, on_end: OnEnd) -> bool:
    """Execute runs on a Ray cluster: the one at ``RAY_ADDRESS``, or a new one on this machine.

    If a worker dies, another one continues its run from the last checkpoint. All workers must share the run folders.

    Args:
        jobs: the runs.
        cpus: number of CPU cores per run.
        gpus: number of GPUs per run; fractions are allowed.
        on_end: called at the end of each run.

    Returns:
        Always True, because an interruption ends the whole process.

    Raises:
        UserError: if Ray is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise not_installed("ray", "suite") from error
    ray.init(log_to_driver=False, ignore_reinit_error=True)

    remote = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES)(_train_here)
    waiting: dict[Any, Job] = {remote.remote(job): job for job in jobs}
    while waiting:
        (ended,), _ = ray.wait(list(waiting))
        job = waiting.pop(ended)
        try:
            ray.get(ended)
        except ray.exceptions.RayTaskError as error:
            on_end(job, str(error.cause))
        except ray.exceptions.RayError as error:
            on_end(job, f"lost {1 + RETRIES} times ({type(error).__name__})")
        else:
            on_end(job, "")
    ray.shutdown()
    return True


def _train_here(job: Job) -> None:
    """Train in the process of the Ray worker, so that the run ends if the worker is killed."""
    arguments = job.arguments()[1:]
    trust_named(arguments)
    train(arguments)


def slurm_script(jobs: Sequence[Job], workers: int) -> str:
    """Make a batch script for SLURM with an array task for every run. A requeued task resumes its run."""
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
