"""One run in several processes: rank 0 leads, the others do the same updates on their shares of every batch.

Rank 0 is an ordinary :class:`~adamas.training.trainer.Trainer`. It alone plays, evaluates, writes and decides;
its learning phases (:class:`Led`) tell the others each step they take. So a run in several processes takes the
same path as one in a single process with as many shards (with more than two, up to the order in which gradients are
summed), and stops, saves and resumes in the same places.

Every process draws the indices of a whole batch and reads its own part of it alone, from the run's folder. So several
machines need one folder that they share (:func:`check_shared`).
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
from adamas.training.optim import NonFiniteLossError
from adamas.training.phases import Metrics, Phase

STREAMS = "streams"  # what orders may be about besides the phases


def check_shared(run_dir: Path, group: Group) -> None:
    """Make sure that every process sees the run's folder that rank 0 has made; all call this at the same time.

    Rank 0 writes a file with a random name there, and the others look for it.

    Raises:
        UserError: in rank 0, a process on another machine does not see it.
        SystemExit: in the others, rank 0 could not make the folder.
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
        group.share(token.name)
        seen = group.gather(True)
    finally:
        token.unlink()
    blind = sorted({group.hosts[rank] for rank, sees in enumerate(seen) if not sees})
    if blind:
        raise UserError(
            f"{', '.join(blind)} does not see the run's folder {run_dir.absolute()} of {group.hosts[0]}; a run on "
            "several machines needs --run-dir in a folder that all of them share, by the same path"
        )


def order_to_start(group: Group) -> Any:
    """What rank 0 sends while it begins a run; ends this process if rank 0 could not begin, and has said why."""
    order = group.share()
    if order is None:
        sys.exit(2)
    return order


@contextmanager
def during(name: str, method: str) -> Iterator[None]:
    """Add to the error about a lost process which phase was running, and which of its methods."""
    try:
        yield
    except LostProcessError as error:
        raise LostProcessError(f"{name}, {method}: {error}") from error


class Led(Phase):
    """A learning phase of rank 0 that the other processes follow."""

    def __init__(self, name: str, phase: Phase, group: Group, store: EpisodeStore | None) -> None:
        """``store`` is what grows while the run plays; None for recordings, which are not the run's to write to."""
        self.name = name
        self.phase = phase
        self.group = group
        self.store = store

    def planned(self, epoch: int) -> int:
        """As the phase itself."""
        return self.phase.planned(epoch)

    def begin(self, epoch: int) -> None:
        """Begin everywhere, on all that was collected."""
        if self.store is not None:
            self.store.commit()  # the others read what is committed
        self._everywhere("begin", epoch)

    def finished(self, epoch: int, done: int, planned: int) -> bool:
        """As the phase itself; then it ends everywhere."""
        over = self.phase.finished(epoch, done, planned)
        if over:
            self._everywhere("end")
        return over

    def update(self) -> Metrics:
        """Update everywhere."""
        metrics: Metrics = self._everywhere("update")
        return metrics

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint: all processes' dreams; everything else is the same in each of them."""
        state: dict[str, Any] = self._everywhere("state_dict")
        if "dreams" in state:
            with during(self.name, "state_dict"):
                state["dreams"] = [dreams for here in self.group.gather(state["dreams"]) for dreams in here]
        return state

    def _everywhere(self, method: str, *arguments: Any) -> Any:
        """Call a method of the phase in every process; returns the result of this one."""
        with during(self.name, method):
            self.group.share((self.name, method, arguments))
            return getattr(self.phase, method)(*arguments)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint, which every process reads for itself."""
        self.phase.load_state_dict(state)


class LedStreams(Streams):
    """The streams of rank 0, saved together with those that only other processes use."""

    def __init__(self, seed: int, group: Group) -> None:
        super().__init__(seed)
        self.group = group

    def state_dict(self) -> dict[str, Any]:
        """Every stream's state, for a checkpoint."""
        self.group.share((STREAMS, "state_dict", ()))
        states = self.group.gather(super().state_dict())
        return {kind: {k: v for s in reversed(states) for k, v in s[kind].items()} for kind in states[0]}


class Follower:
    """A process other than rank 0."""

    def __init__(
        self, group: Group, phases: Mapping[str, Phase], streams: Streams, store: EpisodeStore | None
    ) -> None:
        """``store`` is what rank 0 adds to; None for recordings, which do not grow."""
        self.group = group
        self.phases = phases
        self.streams = streams
        self.store = store

    def run(self) -> None:
        """Do as rank 0 does, until it is done.

        Ctrl-C reaches every process of a terminal; it is for rank 0 to stop the run, once it has been saved.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        while (order := self.group.share()) is not None:
            name, method, arguments = order
            if method == "begin" and self.store is not None:
                self.store.refresh()
            target = self.streams if name == STREAMS else self.phases[name]
            with during(name, method):
                try:
                    result = getattr(target, method)(*arguments)
                except NonFiniteLossError:
                    continue  # rank 0 met it too: it saves and says so
                if name == STREAMS:
                    self.group.gather(result)
                elif method == "state_dict" and "dreams" in result:
                    self.group.gather(result["dreams"])
