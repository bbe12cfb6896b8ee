"""The training loop: collect data, train the world model, train the policy in dreams, evaluate, and repeat.

::

    epoch 0      collect                    until there are enough steps to train on (CollectionConfig.first_steps)
    epoch 1..E   collect -> the components of the world model, in their order -> actor_critic -> evaluate

A run on recordings, instead of a game, collects nothing and trains no policy::

    epoch 1..E   the components of the world model, in their order -> evaluate

The run can be saved between any two units of work. On the same machine, it resumes from there bit for bit.
"""

from __future__ import annotations

import io
import math
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, fields
from pathlib import Path

import torch
from filelock import FileLock

from adamas.agent import Agent
from adamas.core.checkpoint import Checkpoint, save_checkpoint
from adamas.core.config import to_dict
from adamas.core.distributed import ALONE, Group
from adamas.core.errors import Interrupted
from adamas.core.files import write_file
from adamas.core.logging import Metrics
from adamas.core.meters import Meter
from adamas.core.process import Stopped, stop_signal
from adamas.core.progress import Progress
from adamas.core.runtime import device_of
from adamas.core.seeding import Streams
from adamas.data.store import EpisodeStore
from adamas.dreaming.continuation import Continuation
from adamas.nn.optim import NonFiniteLossError
from adamas.training.clock import Clock
from adamas.training.collect import Collector
from adamas.training.config import CollectionConfig, Config
from adamas.training.evaluate import EvaluationPhase
from adamas.training.phases import CollectPhase, Phase
from adamas.training.resuming import ShardedState, misfit, restore_learning, saved_config, warn_of_differences
from adamas.training.source import num_epochs

LOG_EVERY = 100  # units of work between two records within a phase
SHOWN_AS = {"collect": "return", "actor_critic": "dream return", "evaluate": "score"}


class Trainer:
    """Runs the training loop over objects that are built elsewhere.

    Args:
        config: configuration of the run; saved with every checkpoint.
        run_dir: the run's folder.
        agent: the agent that is saved, dreams and is evaluated. Its world model may be an EMA of the trained one.
        store: the replay store, or the recordings to train on.
        collect: plays the real game, as the first phase of every epoch; None for a run on recordings.
        learn: the phases that train networks, by name, in order.
        evaluate: the last phase of every epoch.
        streams: the run's random streams.
        metrics: logs the metrics.
        lock: the lock of the run's folder, held until the trainer is closed.
        quiet: show no progress.
        group: the processes that this process leads.
    """

    def __init__(
        self,
        config: Config,
        *,
        run_dir: Path,
        agent: Agent,
        store: EpisodeStore,
        collect: CollectPhase | None,
        learn: Mapping[str, Phase],
        evaluate: EvaluationPhase,
        streams: Streams,
        metrics: Metrics,
        lock: FileLock,
        quiet: bool = False,
        group: Group = ALONE,
    ) -> None:
        self.config = config
        self.run_dir = run_dir
        self.agent = agent
        self.store = store
        self.collect = collect
        self.evaluate = evaluate
        self.phases: dict[str, Phase] = {**learn, "evaluate": evaluate}
        if collect is not None:
            self.phases = {"collect": collect, **self.phases}
        self.streams = streams
        self.metrics = metrics
        self.lock = lock
        self.quiet = quiet
        self.group = group
        self.clock = Clock()
        self.meter = Meter()
        self._last_save = time.monotonic()

    def close(self) -> None:
        """Close files and environments, and end the other processes."""
        with ExitStack() as stack:  # closes all, even if one of them fails
            stack.callback(self.lock.release)
            for collector in self._collectors():
                stack.callback(collector.env.close)
            stack.callback(self.metrics.close)
            self.group.broadcast(None)

    def run(self) -> None:
        """Train to the end of the last epoch.

        Raises:
            Interrupted: SIGINT or SIGTERM arrived; a checkpoint was written.
            NonFiniteLossError: a loss was NaN or infinite; a checkpoint of the state before it was written.
        """
        with stop_signal() as stop:
            self.evaluate.stop = stop  # because a unit of its work may take long
            if self.clock.step == 0:
                self.save()  # so that even a run that is killed at once can be resumed
            if self.clock.epoch == 0 and self.collect is not None:
                self._first_steps(self.collect.config, stop)
            elif self.clock.epoch == 0:
                self.clock.epoch, self.clock.num_epochs = 1, self.config.final_epochs
            self._epochs(stop)
        self.save()

    @property
    def device(self) -> torch.device:
        """The device of the models."""
        return device_of(self.agent)

    @property
    def real_steps(self) -> int:
        """Number of recorded steps that the run trains on so far."""
        return self.store.num_steps

    def heldout_dreams(self) -> Continuation | None:
        """Dreams and true continuations of the same held-out steps; None if the run was never evaluated."""
        return self.evaluate.dreams() if self.evaluate.store.num_transitions else None

    def _collectors(self) -> list[Collector]:
        """The collectors of training steps and of held-out steps, if the run plays a game."""
        playing = self.collect.collector if self.collect else None
        return [collector for collector in (playing, self.evaluate.heldout) if collector]

    def _first_steps(self, collection: CollectionConfig, stop: threading.Event) -> None:
        """Run epoch 0, which the progress display shows as the first part of epoch 1."""
        final, expected = self.config.final_epochs, max(self.real_steps, collection.first_steps)
        epochs = max(1, num_epochs(collection, final, expected))
        plan = [self._plan(epoch) for epoch in range(1, epochs + 1)]
        plan[0] |= {"collect": self._plan(0)["collect"]}
        with Progress(plan, quiet=self.quiet) as progress:
            self._epoch(progress, stop)
        self.clock.num_epochs = num_epochs(collection, final, self.real_steps)
        if not self.quiet:
            print(f"{self.real_steps:,} real steps to start with; {self.clock.num_epochs} epochs", flush=True)

    def _epochs(self, stop: threading.Event) -> None:
        """Run the remaining epochs."""
        first = self.clock.epoch
        plan = [self._plan(epoch) for epoch in range(first, self.clock.num_epochs + 1)]
        if not plan:
            return
        with Progress(plan, first_epoch=first, quiet=self.quiet) as progress:
            for _ in plan:
                self._epoch(progress, stop)
                progress.end_epoch()

    def _epoch(self, progress: Progress, stop: threading.Event) -> None:
        clock, names = self.clock, list(self.phases)
        while clock.phase < len(names):
            self._phase(names[clock.phase], progress, stop)
            clock.phase, clock.done = clock.phase + 1, 0
        clock.epoch, clock.phase = clock.epoch + 1, 0

    def _phase(self, name: str, progress: Progress, stop: threading.Event) -> None:
        phase, clock = self.phases[name], self.clock
        if clock.done == 0:
            clock.planned = phase.planned(clock.epoch)
            if clock.planned == 0:
                return
            self.meter = Meter()
            phase.begin(clock.epoch)
        progress.begin(name)
        while not phase.finished(clock.epoch, clock.done, clock.planned):
            began = time.monotonic()
            try:
                self.meter.add(phase.update())
            except NonFiniteLossError as error:
                raise self._explain(name, error) from error
            except Stopped:  # in an evaluation, which starts again when the run is resumed
                return self._save_if_due(stop)
            clock.seconds += time.monotonic() - began
            clock.done += 1
            clock.step += 1
            shown = self._log(name) if self.meter.count == LOG_EVERY else {}
            progress.advance(1, **shown)
            self._save_if_due(stop)
        phase.end()
        if self.meter.count:
            progress.advance(0, **self._log(name))

    def _log(self, name: str) -> dict[str, float]:
        """Log the averages since the last call, and return the average for the progress display."""
        clock, averages = self.clock, self.meter.averages()
        self.meter = Meter()  # before anything is saved: sums with a NaN would stop the resumed run again
        if name == "collect" and self.collect is not None:
            averages["real_steps"] = self.real_steps
            if returns := self.collect.collector.returns:
                averages["return"] = sum(returns) / len(returns)
                returns.clear()
        self.metrics.log(averages, clock.step, clock.epoch, name)
        if not (math.isfinite(averages.get("loss", 0.0)) and math.isfinite(averages.get("grad_norm", 0.0))):
            # On a GPU, the optimiser does not raise this error itself.
            raise self._explain(name, NonFiniteLossError("the loss or its gradient is not finite any more"))
        self.metrics.log_timing({"seconds": clock.seconds}, clock.step, clock.epoch, name)
        # Show the return where there is one, because a policy's loss does not tell how good the policy is.
        shown = next((key for key in ("return", "loss") if key in averages), None)
        return {SHOWN_AS.get(name, f"{name} {shown}"): averages[shown]} if shown else {}

    def _plan(self, epoch: int) -> dict[str, int]:
        """Remaining units of work in each phase of ``epoch``, as far as they are known."""
        plan = {name: phase.planned(epoch) for name, phase in self.phases.items()}
        if epoch == self.clock.epoch:
            for i, name in enumerate(plan):
                if i < self.clock.phase:
                    plan[name] = 0
                elif i == self.clock.phase and self.clock.done:
                    plan[name] = max(0, self.clock.planned - self.clock.done)
        return plan

    # --- checkpoints ---------------------------------------------------------------------------------------

    def save(self) -> Path:
        """Write a checkpoint of the current state, and return its path."""
        self._last_save = time.monotonic()
        for collector in self._collectors():
            collector.store.commit()
        trainer = {
            "clock": asdict(self.clock),
            "meter": self.meter.state_dict(),
            "metrics": self.metrics.state(),
            "streams": self.streams.state_dict(),
            "real_steps": self.real_steps,
            "phases": {name: phase.state_dict() for name, phase in self.phases.items()},
        }
        config = {"agent": to_dict(self.agent.config), "run": to_dict(self.config)}
        parts = {n: phase.save_parts for n, phase in self.phases.items() if isinstance(phase, ShardedState)}
        root, agent = self.run_dir / "checkpoints", self.agent.state_dict()
        return save_checkpoint(root, self.clock.step, agent, config, trainer, parts=parts)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint. Its configuration may differ from the run's only as ``resuming.Changes`` allows.

        Raises:
            UserError: the checkpoint does not fit the run, or the run is past its last epoch.
        """
        state = restore_learning(checkpoint, self.agent, self.phases, self.streams)
        try:
            self.clock = Clock(**state["clock"])
            self.meter.load_state_dict(state["meter"])
            self.metrics.restore(state["metrics"])
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise misfit(checkpoint, error) from error
        warn_of_differences(self.streams, self.config.data, state.get("real_steps"), self.real_steps)
        self.clock.change_final_epochs(saved_config(checkpoint).final_epochs, self.config.final_epochs)

    def _save_if_due(self, stop: threading.Event) -> None:
        minutes = (time.monotonic() - self._last_save) / 60
        if stop.is_set():
            self.save()
            raise Interrupted(f"stopped and saved in {self.run_dir}")
        if minutes >= self.config.checkpoint_minutes:
            self.save()

    def _explain(self, name: str, error: NonFiniteLossError) -> NonFiniteLossError:
        """Save the weights from before the failed update, and its batch. Return an error that names both files."""
        checkpoint = self.save()
        message = f"{name}, epoch {self.clock.epoch}: {error}; the weights before it are in {checkpoint}"
        if error.batch is not None:
            path = self.run_dir / "failed-batch.pt"
            content = io.BytesIO()
            torch.save({f.name: getattr(error.batch, f.name) for f in fields(error.batch)}, content)
            write_file(path, content.getvalue())
            message += f", batch in {path}"
        return NonFiniteLossError(message + "; lower the learning rate or look at the batch")
