"""What a run says about itself: metrics on disk and to TensorBoard or W&B, progress on the terminal."""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import os
import secrets
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, SupportsFloat

from rich.console import Console
from rich.live import Live
from rich.text import Text

from adamas.core.errors import UserError, require


class Metrics:
    """Writes the numbers of a run, one JSON object a line, and forwards them to the sinks asked for.

    ``metrics.jsonl`` is the canonical record: the same run gives the same bytes, whether or not it was
    interrupted and resumed. What depends on the clock or the machine (seconds, speeds, memory) therefore goes
    to ``timing.jsonl``. What JSON lacks is written as "nan", "inf" or "-inf", which ``float`` reads.

    Every method raises a UserError if the files cannot be written.
    """

    def __init__(self, folder: Path, tensorboard: bool = True, wandb: str | None = None) -> None:
        """Open the files for appending, and the sinks.

        Args:
            folder: where the files go; made if need be. TensorBoard's are in ``folder/tensorboard``.
            tensorboard: whether to write TensorBoard event files too.
            wandb: the W&B project to log to, or None.

        Raises:
            UserError: if a sink is not installed.
        """
        self._folder, self._last_step = folder, -1
        with _writing_to(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._tensorboard = _open_tensorboard(folder) if tensorboard else None
        self._wandb = _open_wandb(folder, wandb) if wandb else None
        with _writing_to(folder):
            self._files = {name: (folder / f"{name}.jsonl").open("ab") for name in ("metrics", "timing")}

    def log(self, values: Mapping[str, SupportsFloat], step: int, epoch: int, phase: str) -> None:
        """Record numbers that the run's configuration and seed determine.

        Args:
            values: numbers (or tensors of one element) by name; "step", "epoch" and "phase" are taken.
            step: a counter that never falls within a run; sinks plot against it.
            epoch: epoch of the training loop.
            phase: what the loop is doing, such as ``"denoiser"``.
        """
        self._record("metrics", values, step, epoch, phase)

    def log_timing(self, values: Mapping[str, SupportsFloat], step: int, epoch: int, phase: str) -> None:
        """Record numbers that depend on the clock or the machine; arguments as for :meth:`log`."""
        self._record("timing", values, step, epoch, phase)

    def _record(
        self, file: str, values: Mapping[str, SupportsFloat], step: int, epoch: int, phase: str
    ) -> None:
        counters = {"step": step, "epoch": epoch, "phase": phase}
        if taken := sorted(values.keys() & counters):
            raise ValueError(f"metrics cannot be named {taken}: every record has these counters")
        numbers = {name: float(value) for name, value in values.items()}
        safe = {name: x if math.isfinite(x) else str(x) for name, x in numbers.items()}
        line = json.dumps(counters | safe, allow_nan=False)
        with _writing_to(self._folder):
            self._files[file].write(line.encode() + b"\n")
            self._files[file].flush()  # whoever follows the file sees whole lines
        self._last_step = max(self._last_step, step)
        for name, x in numbers.items():
            if self._tensorboard:
                self._tensorboard.add_scalar(f"{phase}/{name}", x, step)
            if self._wandb:
                self._wandb.log({f"{phase}/{name}": x}, step=step)

    def state(self) -> dict[str, int]:
        """Where the record stands, for a checkpoint; everything before it is safely on disk.

        Take it when the current step has nothing more to log: TensorBoard rewinds by whole steps.
        """
        with _writing_to(self._folder):
            for file in self._files.values():
                os.fsync(file.fileno())
        if self._tensorboard:
            self._tensorboard.flush()
        sizes = {name: os.fstat(file.fileno()).st_size for name, file in self._files.items()}
        return {**sizes, "last_step": self._last_step}

    def restore(self, state: Mapping[str, int]) -> None:
        """Forget what was recorded after ``state`` was taken. Call it before anything is logged."""
        for name, file in self._files.items():
            size = os.fstat(file.fileno()).st_size
            if size < state[name]:
                path = self._folder / f"{name}.jsonl"
                warnings.warn(
                    f"{path} lost records made before the checkpoint; going on at its end", stacklevel=2
                )
            file.truncate(min(size, state[name]))
        self._last_step = state["last_step"]
        if self._tensorboard:
            self._tensorboard.close()
            self._tensorboard = _open_tensorboard(self._folder, purge_step=self._last_step + 1)

    def close(self) -> None:
        """Finish all files and sinks."""
        for file in self._files.values():
            file.close()
        if self._tensorboard:
            self._tensorboard.close()
        if self._wandb:
            self._wandb.finish()


@contextlib.contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write metrics to {folder}: {error.strerror}; free space there and resume the run"
        ) from error


def _open_tensorboard(folder: Path, purge_step: int | None = None) -> Any:
    """A SummaryWriter; TensorBoard then ignores what earlier files hold at ``purge_step`` and later."""
    try:
        from torch.utils.tensorboard import SummaryWriter  # imports slowly
    except ImportError as error:
        raise require("tensorboard", "tensorboard") from error
    return SummaryWriter(str(folder / "tensorboard"), purge_step=purge_step)


def _open_wandb(folder: Path, project: str) -> Any:
    """The same W&B run each time: it skips the steps it already has when a resumed run repeats them."""
    try:
        wandb = importlib.import_module("wandb")
    except ImportError as error:
        raise require("wandb", "wandb") from error
    identity = folder / "wandb-id.txt"
    if not identity.exists():
        identity.write_text(secrets.token_hex(4))
    return wandb.init(project=project, dir=str(folder), id=identity.read_text(), resume="allow")


class Eta:
    """Estimates the time left from the seconds an update takes in each phase, measured in that phase.

    Epochs are not alike (the first is often several times longer than the rest), updates of one phase are:
    the plan's counts carry the difference, and no epoch stands for another.
    """

    def __init__(self, plan: Sequence[Mapping[str, int]]) -> None:
        """Start with a plan: for each epoch that is left, the number of updates in each of its phases."""
        self._left: dict[str, int] = {}
        for epoch in plan:
            for phase, count in epoch.items():
                self._left[phase] = self._left.get(phase, 0) + count
        self._count = dict.fromkeys(self._left, 0)
        self._seconds = dict.fromkeys(self._left, 0.0)

    def update(self, phase: str, count: int, seconds: float) -> None:
        """Note that ``count`` updates of ``phase`` took ``seconds``."""
        self._left[phase] = max(0, self._left[phase] - count)
        self._count[phase] += count
        self._seconds[phase] += seconds

    def remaining(self) -> float | None:
        """Seconds until the plan is done; None while a phase that is still to come has not been measured."""
        left = [phase for phase, count in self._left.items() if count > 0]
        if any(self._count[phase] == 0 for phase in left):
            return None
        return sum(self._left[phase] * self._seconds[phase] / self._count[phase] for phase in left)


class Progress:
    """Shows where the training loop is: one live line on a terminal, occasional plain lines elsewhere.

    Use it as a context manager: :meth:`begin` a phase, :meth:`advance` after updates, :meth:`end_epoch`.
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
            plan: for each epoch that is left, the number of updates in each of its phases.
            first_epoch: number of the first of these epochs; above 1 in a resumed run.
            quiet: show nothing.
            console: where to write instead of standard output.
            clock: tells the time in seconds.
        """
        self._plan, self._first_epoch, self._clock = plan, first_epoch, clock
        self._console = console or Console()
        self._console.quiet = quiet
        live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live = live if self._console.is_terminal else None
        self._interval = 0.25 if self._live else 10.0  # seconds between two lines
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
        """Leave the terminal as it was."""
        if self._live:
            self._live.stop()

    def begin(self, phase: str) -> None:
        """Start a phase of the current epoch; its clock runs from here."""
        self._phase, self._done, self._speed = phase, 0, 0.0
        self._last_advance = self._clock()

    def advance(self, count: int = 1, **values: float) -> None:
        """Note ``count`` finished updates of the phase, and the latest losses or returns to show."""
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
        """Print one summary line and go on to the next epoch."""
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
    """Seconds for people: ``"45 s"``, ``"12 min"``, ``"3 h 05 min"``, ``"2 d 4 h"``."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"


def memory() -> int | None:
    """Bytes of memory this process holds: now on Linux, at its peak on macOS, None elsewhere."""
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None
