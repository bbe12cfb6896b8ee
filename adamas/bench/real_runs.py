"""Runs on a device, as people have them: killed and resumed, and trained for a while."""

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

import torch
from torch import Tensor

from adamas.bench.agreement import relative_error
from adamas.bench.contents import phases
from adamas.bench.guarded import Finding, guarded
from adamas.core.checkpoint import find_checkpoint
from adamas.core.errors import UserError
from adamas.training.build import new_run, resume_run
from adamas.training.config import Config
from adamas.training.trainer import Interrupted, Trainer

LIFE_SECONDS = 60.0  # that one life of a run may take
DEATH = 9  # the update in whose middle a run is killed
REPEATS_MAY_DIFFER = 10.0  # times as far as two uninterrupted runs are apart, a resumed one may be
ENDS = 10  # updates over which the first and the last loss are averaged; at most a quarter of all


def kill_and_resume(config: Config) -> Iterator[Finding]:
    """A run that gets a SIGKILL in the middle of an update and is resumed, beside two that are left alone.

    A GPU's kernels need not give the same sum twice. So two uninterrupted runs show how far apart their weights end
    up, and a resumed run may differ :data:`REPEATS_MAY_DIFFER` times as much. The run needs more than :data:`DEATH`
    units of work.
    The caller must not have used a GPU (:func:`~adamas.bench.guarded.guarded`).

    Raises:
        UserError: a run ended in another way.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name, death in (("whole", None), ("again", None), ("killed", DEATH), ("killed", None)):
            often = 0.0 if name == "killed" else config.checkpoint_minutes  # 0: after every unit of work
            life = partial(_live, replace(config, checkpoint_minutes=often), Path(folder) / name, death)
            outcome = guarded(life, LIFE_SECONDS)
            expected = "done" if death is None else "failed"
            if outcome.status != expected:
                raise UserError(f"the run called {name!r}: {outcome.status}; {outcome.error}")
        whole, again, killed = (_weights(Path(folder) / name) for name in ("whole", "again", "killed"))
    repeated, resumed = relative_error(again, whole), relative_error(killed, whole)
    yield {
        "what": "weights of a killed and resumed run",
        "result": "equal" if resumed == 0 else f"apart by {resumed:.1e}",
        "limit": "equal" if repeated == 0 else f"{REPEATS_MAY_DIFFER:g} x {repeated:.1e}, a run repeated",
        "verdict": "pass" if resumed <= REPEATS_MAY_DIFFER * repeated else "fail",
        "resumed": resumed,
        "repeated": repeated,
    }


def _live(config: Config, run_dir: Path, death: int | None) -> Iterator[Finding]:
    """One life of a run: begin or go on, to the end, or to a SIGKILL in the middle of update number ``death``."""
    begun = any(run_dir.glob("checkpoints/step-*[0-9]"))
    with closing(resume_run(run_dir, True) if begun else new_run(config, run_dir, True)) as trainer:

        def die(name: str, metrics: object) -> None:
            if trainer.clock.step == death:
                os.kill(os.getpid(), signal.SIGKILL)

        watch_updates(trainer, die)
        trainer.run()
    yield {}


def _weights(run_dir: Path) -> list[Tensor]:
    return list(find_checkpoint(run_dir / "checkpoints").agent().values())


def watch_updates(trainer: Trainer, see: Callable[[str, Mapping[str, Tensor]], None]) -> None:
    """Have ``see`` called after every unit of work, with the name of its phase and its metrics."""
    for name, phase in trainer.phases.items():

        def update(
            name: str = name, work: Callable[[], Mapping[str, Tensor]] = phase.update
        ) -> Mapping[str, Tensor]:
            metrics = work()
            see(name, metrics)
            return metrics

        phase.update = update  # type: ignore[method-assign]


def train_for(config: Config, seconds: float) -> Iterator[Finding]:
    """A real run, stopped after some seconds as Ctrl-C stops one, and the losses at both ends of it."""
    losses: dict[str, list[Tensor]] = {}

    def see(name: str, metrics: Mapping[str, Tensor]) -> None:
        if "loss" in metrics:
            losses.setdefault(name, []).append(
                metrics["loss"].detach()
            )  # kept as a tensor: reading its value would wait for the GPU

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
        for name in phases(config, trainer.agent.config):
            yield course(name, losses.get(name, []))


def course(name: str, losses: Sequence[Tensor]) -> Finding:
    """Compare a loss at its start with the loss at its end. It must fall; a policy's loss need only be finite.

    Args:
        name: of the phase.
        losses: () each, in order.
    """
    if not losses:
        return {"what": f"{name} loss", "result": "no update in this time", "verdict": "out of time"}
    count = max(1, min(ENDS, len(losses) // 4))
    values = torch.stack(list(losses)).float().cpu()
    first, last = float(values[:count].mean()), float(values[-count:].mean())
    falls = name in ("actor_critic", "collect") or last < first
    return {
        "what": f"{name} loss, {len(losses)} updates",
        "result": f"{first:.4g} -> {last:.4g}",
        "limit": "finite" if name in ("actor_critic", "collect") else "falls",
        "verdict": "pass" if math.isfinite(first + last) and falls else "fail",
        "first": first if math.isfinite(first) else None,
        "last": last if math.isfinite(last) else None,
        "updates": len(losses),
    }
