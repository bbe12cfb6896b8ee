"""Data parallel training: rank 0 leads a run, and other processes do the same updates on their shards of each batch.

Rank 0 is an ordinary :class:`~adamas.training.trainer.Trainer`. Only rank 0 plays, evaluates, writes files and makes
decisions. Its training phases (:class:`LeaderPhase`) broadcast every call to the other processes. So a run in several
processes does the same updates as a run in one process with as many shards, and stops, saves and resumes at the same
points. With more than two processes, the all-reduce may sum gradients in another order.

Every process draws the indices of the whole batch, but reads only its own shards from the run's folder. So several
machines need a folder that they share (:func:`check_shared`).
"""

from __future__ import annotations

import secrets
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adamas.core.distributed import Group, LostProcessError
from adamas.core.errors import UserError
from adamas.core.seeding import Streams
from adamas.data.store import EpisodeStore
from adamas.nn.optim import NonFiniteLossError
from adamas.rl.learner import Metrics
from adamas.training.phases import Phase

STREAMS = "streams"  # orders name a phase, or the random streams by this name


def check_shared(run_dir: Path, group: Group) -> None:
    """Check that every process sees the run's folder that rank 0 has created. All processes must call this at once.

    Rank 0 creates a file with a random name in the folder, and the others look for it.

    Raises:
        UserError: in rank 0, if a process on another machine does not see the file.
        SystemExit: in the other processes, if rank 0 could not create the folder.
    """
    if group.size == 1:
        return
    token = run_dir / f".shared-{secrets.token_hex(8)}"
    if group.rank > 0:
        name = order_to_start(group)
        group.gather((run_dir / name).exists())
        return
    token.touch(exist_ok=False)
    try:
        group.broadcast(token.name)
        seen = group.gather(True)
    finally:
        token.unlink()
    missing = sorted({group.hosts[rank] for rank, sees in enumerate(seen) if not sees})
    if missing:
        raise UserError(
            f"{', '.join(missing)} does not see the run's folder {run_dir.absolute()} of {group.hosts[0]}; a run on "
            "several machines needs `run_dir` in a folder that all of them share, at the same path"
        )


def order_to_start(group: Group) -> Any:
    """Receive what rank 0 sends when it starts a run. Exit if rank 0 could not start and has printed the reason."""
    order = group.broadcast()
    if order is None:
        sys.exit(2)
    return order


@contextmanager
def during(name: str, method: str) -> Iterator[None]:
    """Add the name of the phase and its running method to an error about a lost process."""
    try:
        yield
    except LostProcessError as error:
        raise LostProcessError(f"{name}, {method}: {error}") from error


class LeaderPhase(Phase):
    """A training phase of rank 0, which broadcasts its calls to the other processes."""

    def __init__(self, name: str, phase: Phase, group: Group, store: EpisodeStore | None) -> None:
        """``store`` is the replay store that the run adds to; None for recordings, which the run does not change."""
        self.name = name
        self.phase = phase
        self.group = group
        self.store = store

    def planned(self, epoch: int) -> int:
        """Units of work of the phase."""
        return self.phase.planned(epoch)

    def begin(self, epoch: int) -> None:
        """Begin in all processes, with all steps collected so far."""
        if self.store is not None:
            self.store.commit()  # the other processes read committed steps only
        self._broadcast("begin", epoch)

    def finished(self, epoch: int, done: int, planned: int) -> bool:
        """Whether the phase is finished."""
        return self.phase.finished(epoch, done, planned)

    def end(self) -> None:
        """End the phase in all processes."""
        self._broadcast("end")

    def update(self) -> Metrics:
        """Do one update in all processes."""
        metrics: Metrics = self._broadcast("update")
        return metrics

    def state_dict(self) -> dict[str, Any]:
        """The state for a checkpoint. The dreams of all processes are gathered; all else is the same in each."""
        state: dict[str, Any] = self._broadcast("state_dict")
        if "dreams" in state:
            with during(self.name, "state_dict"):
                state["dreams"] = [dreams for here in self.group.gather(state["dreams"]) for dreams in here]
        return state

    def _broadcast(self, method: str, *arguments: Any) -> Any:
        """Call a method of the phase in every process, and return the result of this process."""
        with during(self.name, method):
            self.group.broadcast((self.name, method, arguments))
            return getattr(self.phase, method)(*arguments)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint. The other processes read it themselves."""
        self.phase.load_state_dict(state)


class LeaderStreams(Streams):
    """The random streams of rank 0, which are saved together with those of the other processes."""

    def __init__(self, seed: int, group: Group) -> None:
        super().__init__(seed)
        self.group = group

    def state_dict(self) -> dict[str, Any]:
        """The states of all streams of all processes, for a checkpoint."""
        self.group.broadcast((STREAMS, "state_dict", ()))
        states = self.group.gather(super().state_dict())
        return {kind: {k: v for s in reversed(states) for k, v in s[kind].items()} for kind in states[0]}


class Follower:
    """The loop of a process other than rank 0."""

    def __init__(
        self, group: Group, phases: Mapping[str, Phase], streams: Streams, store: EpisodeStore | None
    ) -> None:
        """``store`` is the replay store that rank 0 adds to; None for recordings, which do not grow."""
        self.group = group
        self.phases = phases
        self.streams = streams
        self.store = store

    def run(self) -> None:
        """Repeat the calls that rank 0 broadcasts, until the run ends.

        SIGINT and SIGTERM are ignored: a terminal sends Ctrl-C to every process, but rank 0 saves and stops the run.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        while (order := self.group.broadcast()) is not None:
            name, method, arguments = order
            if method == "begin" and self.store is not None:
                self.store.refresh()
            target = self.streams if name == STREAMS else self.phases[name]
            with during(name, method):
                try:
                    result = getattr(target, method)(*arguments)
                except NonFiniteLossError:
                    continue  # rank 0 gets the same error, and saves and reports
                if name == STREAMS:
                    self.group.gather(result)
                elif method == "state_dict" and "dreams" in result:
                    self.group.gather(result["dreams"])
