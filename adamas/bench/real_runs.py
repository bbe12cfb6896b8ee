"""Checks of a device with real runs: kill and resume, and training for a while with falling losses."""

from __future__ import annotations

import math
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adamas.bench.agreement import relative_error
from adamas.bench.contents import phases
from adamas.bench.finding import Finding
from adamas.bench.guarded import guarded
from adamas.core.checkpoint import find_checkpoint
from adamas.core.errors import Interrupted, UserError
from adamas.training.build import new_run, resume_run
from adamas.training.config import Config
from adamas.training.trainer import Trainer

LIFE_SECONDS = 60.0  # timeout of one process of a run
DEATH = 9  # number of the update during which a run is killed
REPEATS_MAY_DIFFER = 10.0  # how much more a resumed run may differ than a repeated run does
ENDS = 10  # number of updates over which the first and the last loss are averaged; at most a quarter of all


def cycling(config: Config, **updates: int) -> Config:
    """Return ``config`` with these numbers of updates, by phase, in every epoch and without evaluations."""
    training: dict[str, Any] = {
        name: replace(getattr(config.training, name), first_epoch_updates=count, updates_per_epoch=count)
        for name, count in updates.items()
    }
    return replace(
        config,
        training=replace(config.training, **training),
        evaluation=replace(config.evaluation, every_epochs=10**6),
    )


def kill_and_resume(config: Config) -> Iterator[Finding]:
    """Compare a run that is killed during an update and resumed with two uninterrupted runs.

    GPU kernels can be non-deterministic. Two uninterrupted runs therefore show how far apart the weights of equal runs
    end up, and the resumed run may differ :data:`REPEATS_MAY_DIFFER` times as much. The run must have more than
    :data:`DEATH` updates. The caller must not have used a GPU (:func:`~adamas.bench.guarded.guarded`).

    Raises:
        UserError: if a run does not end as expected.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name, death in (("whole", None), ("again", None), ("killed", DEATH), ("killed", None)):
            often = 0.0 if name == "killed" else config.checkpoint_minutes  # 0: after every update
            life = partial(_live, replace(config, checkpoint_minutes=often), Path(folder) / name, death)
            outcome = guarded(life, LIFE_SECONDS)
            expected = "done" if death is None else "failed"
            if outcome.status != expected:
                raise UserError(f"the run called {name!r}: {outcome.status}; {outcome.error}")
        whole, again, killed = (_weights(Path(folder) / name) for name in ("whole", "again", "killed"))
    repeated, resumed = relative_error(again, whole), relative_error(killed, whole)
    yield Finding(
        what="weights of a killed and resumed run",
        result="equal" if resumed == 0 else f"apart by {resumed:.1e}",
        limit="equal" if repeated == 0 else f"{REPEATS_MAY_DIFFER:g} x {repeated:.1e}, a run repeated",
        verdict="pass" if resumed <= REPEATS_MAY_DIFFER * repeated else "fail",
        numbers={"resumed": resumed, "repeated": repeated},
    )


def _live(config: Config, run_dir: Path, death: int | None) -> Iterator[None]:
    """Start or resume a run, until its end or until it kills itself during update number ``death``."""
    begun = any(run_dir.glob("checkpoints/step-*[0-9]"))
    with closing(resume_run(run_dir, True) if begun else new_run(config, run_dir, True)) as trainer:

        def die(name: str, metrics: object) -> None:
            if trainer.clock.step == death:
                os.kill(os.getpid(), signal.SIGKILL)

        watch_updates(trainer, die)
        trainer.run()
    yield  # guarded work is a generator


def _weights(run_dir: Path) -> list[Tensor]:
    return list(find_checkpoint(run_dir / "checkpoints").agent_weights().values())


def watch_updates(trainer: Trainer, see: Callable[[str, Mapping[str, Tensor]], None]) -> None:
    """Call ``see`` after every update of ``trainer``, with the name of its phase and its metrics."""
    for name, phase in trainer.phases.items():

        def update(
            name: str = name, work: Callable[[], Mapping[str, Tensor]] = phase.update
        ) -> Mapping[str, Tensor]:
            metrics = work()
            see(name, metrics)
            return metrics

        phase.update = update  # type: ignore[method-assign]


def train_for(config: Config, seconds: float) -> Iterator[Finding]:
    """Train for ``seconds``, interrupt the run as Ctrl-C would, and compare its first and last losses."""
    losses: dict[str, list[Tensor]] = {}

    def see(name: str, metrics: Mapping[str, Tensor]) -> None:
        if "loss" in metrics:
            losses.setdefault(name, []).append(
                metrics["loss"].detach()
            )  # float() would synchronise with the GPU

    with (
        tempfile.TemporaryDirectory() as folder,
        closing(new_run(config, Path(folder) / "run", quiet=True)) as trainer,
    ):
        watch_updates(trainer, see)
        timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGTERM))
        timer.start()
        try:
            with suppress(Interrupted):
                trainer.run()
        finally:
            timer.cancel()
        for name in phases(config, trainer.agent):
            yield course(name, losses.get(name, []))


def course(name: str, losses: Sequence[Tensor]) -> Finding:
    """Compare the first losses of a phase with its last. They must fall; the loss of a policy must only be finite.

    Args:
        name: name of the phase.
        losses: scalar tensors, in order.
    """
    if not losses:
        return Finding(what=f"{name} loss", result="no update in this time", verdict="out of time")
    count = max(1, min(ENDS, len(losses) // 4))
    values = torch.stack(list(losses)).float().cpu()
    first, last = float(values[:count].mean()), float(values[-count:].mean())
    falls = name in ("actor_critic", "collect") or last < first
    return Finding(
        what=f"{name} loss, {len(losses)} updates",
        result=f"{first:.4g} -> {last:.4g}",
        limit="finite" if name in ("actor_critic", "collect") else "falls",
        verdict="pass" if math.isfinite(first + last) and falls else "fail",
        numbers={
            "first": first if math.isfinite(first) else None,
            "last": last if math.isfinite(last) else None,
            "updates": len(losses),
        },
    )
