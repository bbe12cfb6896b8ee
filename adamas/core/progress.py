"""Progress display of a run on the terminal, with an estimate of the time left (ETA)."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text


class Eta:
    """Estimates the time left from the measured seconds per update of each phase.

    Epochs differ in length (the first is often several times longer), but updates of one phase take about equally
    long. The estimate therefore multiplies the number of updates left in each phase by their mean duration.
    """

    def __init__(self, plan: Sequence[Mapping[str, int]]) -> None:
        """Start with a plan: the number of updates in each phase, for every epoch that is left."""
        self._left: dict[str, int] = {}
        for epoch in plan:
            for phase, count in epoch.items():
                self._left[phase] = self._left.get(phase, 0) + count
        self._count = dict.fromkeys(self._left, 0)
        self._seconds = dict.fromkeys(self._left, 0.0)

    def update(self, phase: str, count: int, seconds: float) -> None:
        """Record that ``count`` updates of ``phase`` took ``seconds``."""
        self._left[phase] = max(0, self._left[phase] - count)
        self._count[phase] += count
        self._seconds[phase] += seconds

    def remaining(self) -> float | None:
        """Estimate the seconds left; None until every phase that is still to come has been measured."""
        left = [phase for phase, count in self._left.items() if count > 0]
        if any(self._count[phase] == 0 for phase in left):
            return None
        return sum(self._left[phase] * self._seconds[phase] / self._count[phase] for phase in left)


LIVE_SECONDS, LINE_SECONDS = 0.25, 10.0  # between two updates of the live line, and between two plain lines


class Progress:
    """Shows the progress of the training loop: one live line on a terminal, a plain line every 10 seconds elsewhere.

    It is a context manager. Call :meth:`begin` at the start of a phase, :meth:`advance` after updates, and
    :meth:`end_epoch` at the end of an epoch.
    """

    def __init__(
        self,
        plan: Sequence[Mapping[str, int]],
        first_epoch: int = 1,
        quiet: bool = False,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare the display.

        Args:
            plan: the number of updates in each phase, for every epoch that is left.
            first_epoch: number of the first of these epochs. It is above 1 in a resumed run.
            quiet: whether to show nothing.
            console: where to write; None for standard output.
            clock: returns the time in seconds.
        """
        self._plan, self._first_epoch, self._clock = plan, first_epoch, clock
        self._console = console or Console()
        self._console.quiet = quiet
        live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live = live if self._console.is_terminal else None
        self._interval = LIVE_SECONDS if self._live else LINE_SECONDS
        self._eta = Eta(plan)
        self._epoch, self._phase, self._done, self._speed = first_epoch, "", 0, 0.0
        self._values: dict[str, float] = {}
        self._last_advance = self._last_shown = self._epoch_start = clock()

    def __enter__(self) -> Progress:
        """Start the display."""
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the live line from the terminal."""
        if self._live:
            self._live.stop()

    def begin(self, phase: str) -> None:
        """Start a phase of the current epoch, and its clock."""
        self._phase, self._done, self._speed = phase, 0, 0.0
        self._last_advance = self._clock()

    def advance(self, count: int = 1, **values: float) -> None:
        """Record ``count`` finished updates of the phase, and the latest losses or returns to show."""
        now = self._clock()
        seconds, self._last_advance = now - self._last_advance, now
        self._eta.update(self._phase, count, seconds)
        self._done += count
        if seconds > 0:  # smoothed over about ten calls
            self._speed += (count / seconds - self._speed) * (0.1 if self._speed else 1.0)
        self._values |= values
        if now - self._last_shown >= self._interval:
            self._last_shown = now
            if self._live:
                self._live.update(self._line(), refresh=True)
            else:
                self._console.print(self._line(), soft_wrap=True)

    def end_epoch(self) -> None:
        """Print one summary line and start the next epoch."""
        now = self._clock()
        summary = [self._title(), f"done in {duration(now - self._epoch_start)}", *self._tail()]
        self._console.print(Text("  ".join(summary)), soft_wrap=True)
        self._epoch_start = now
        self._epoch += 1

    def _line(self) -> Text:
        planned = self._plan[self._epoch - self._first_epoch].get(self._phase, 0)
        where = f"{self._phase} {self._done}/{planned}"
        parts = [self._title(), where, f"{self._speed:.3g}/s", *self._tail()]
        return Text("  ".join(parts), no_wrap=True, overflow="ellipsis")

    def _title(self) -> str:
        return f"epoch {self._epoch}/{self._first_epoch + len(self._plan) - 1}"

    def _tail(self) -> list[str]:
        used, left = memory(), self._eta.remaining()
        held = [f"{used / 1e9:.1f} GB"] if used else []
        eta = "estimating" if left is None else duration(left)
        return [*(f"{name} {value:.4g}" for name, value in self._values.items()), *held, f"ETA {eta}"]


def duration(seconds: float) -> str:
    """Format seconds for people: ``"45 s"``, ``"12 min"``, ``"3 h 05 min"``, ``"2 d 4 h"``."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"


def memory() -> int | None:
    """Bytes of memory of this process: its current use on Linux, its peak on macOS, None elsewhere."""
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None
