"""Measurements of the benchmark: of one kind of work, over all rounds, and compared with plain PyTorch."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Measurement of a kind of work that was repeated.

    Attributes:
        seconds: duration of each call.
        units: number of frames, steps or segments per call.
        system_share: share of CPU time spent in the operating system, in [0, 1].
        peak_bytes: memory so far, see :func:`~adamas.bench.accelerator.peak_bytes`.
    """

    seconds: list[float]
    units: int
    system_share: float
    peak_bytes: int

    @property
    def median(self) -> float:
        """Median of the seconds of a call."""
        return statistics.median(self.seconds)


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Medians over the rounds of measuring a kind of work in one process.

    Attributes:
        seconds: duration of a call.
        per_second: number of frames, steps or segments per second.
        gflops: 1e9 floating-point operations per second; 0 if their number per call is unknown.
        system_share: share of CPU time spent in the operating system, in [0, 1].
        peak_bytes: peak memory of the process so far.
        startup_seconds: seconds until the process could measure.
    """

    seconds: float
    per_second: float
    gflops: float
    system_share: float
    peak_bytes: int
    startup_seconds: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A row of the benchmark table.

    Attributes:
        row: its name (:func:`~adamas.bench.workloads.rows_of`).
        unit: name of the unit that is counted, such as "frames".
        plain: the speed in plain PyTorch.
        fast: the speed with the configured optimisations.
        precision: precision of ``fast``: fp32, tf32 or bf16.
        ratio: median over the rounds of plain time divided by fast time.
    """

    row: str
    unit: str
    plain: Speed
    fast: Speed
    precision: str
    ratio: float


def speed_of(rounds: Sequence[Measurement], flops: float, startup_seconds: float) -> Speed:
    """Compute medians over the rounds. ``flops`` is the number of operations per call; 0 if it is unknown."""
    seconds = statistics.median(one.median for one in rounds)
    return Speed(
        seconds=seconds,
        per_second=rounds[0].units / seconds,
        gflops=flops / seconds / 1e9,
        system_share=statistics.median(one.system_share for one in rounds),
        peak_bytes=max(one.peak_bytes for one in rounds),
        startup_seconds=startup_seconds,
    )
