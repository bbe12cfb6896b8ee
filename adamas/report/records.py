"""Read the metrics files of a run, and extract curves from them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adamas.core.errors import UserError
from adamas.core.files import read_file

OTHER_PHASES = ("collect", "actor_critic", "evaluate")
"""The phases of a run that train no part of the world model."""


@dataclass(frozen=True)
class Record:
    """One line of a metrics file.

    Attributes:
        step: units of work since the run began.
        epoch: the epoch; 0 stands for the steps before the first one.
        phase: name of the phase that did the work.
        values: the numbers, by name.
    """

    step: int
    epoch: int
    phase: str
    values: Mapping[str, float]


def read_records(path: Path) -> list[Record]:
    """The records of a metrics file, in order.

    Raises:
        UserError: the file cannot be read, or it is not a metrics file.
    """
    try:
        content = read_file(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; give the folder of a run") from error
    lines = content.splitlines(keepends=True)
    if lines and not lines[-1].endswith(b"\n"):
        lines.pop()  # still being written
    try:
        return [_record(line) for line in lines]
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error}); restore it from a copy") from error


def _record(line: bytes) -> Record:
    """Parse a line of a metrics file, in which NaN and infinities are texts that ``float`` can read."""
    data = json.loads(line)
    if not isinstance(data, dict):
        raise TypeError(f"a line is {data!r:.40}")
    step, epoch, phase = data.pop("step"), data.pop("epoch"), data.pop("phase")
    if type(step) is not int or type(epoch) is not int or not isinstance(phase, str):
        raise TypeError(f"a line has step {step!r:.40}, epoch {epoch!r:.40} and phase {phase!r:.40}")
    return Record(step, epoch, phase, {name: float(value) for name, value in data.items()})


def curve(metrics: Sequence[Record], phase: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the epochs (n,) and values (n,) of a metric.

    If a phase has n records in epoch e, the i-th of them (counted from 1) is placed at e - 1 + i / n on the axis of
    epochs.
    """
    records = [record for record in metrics if record.phase == phase]
    total, seen = Counter(record.epoch for record in records), Counter[int]()
    points = []
    for record in records:
        epoch = record.epoch
        seen[epoch] += 1
        if name in record.values:
            points.append((epoch - 1 + seen[epoch] / total[epoch], record.values[name]))
    x, y = zip(*points, strict=True) if points else ((), ())
    return np.array(x), np.array(y)


def world_model_parts(metrics: Sequence[Record]) -> list[str]:
    """The names of the phases that train parts of the world model, in the order of their first records."""
    return list(dict.fromkeys(record.phase for record in metrics if record.phase not in OTHER_PHASES))


def evaluations(
    metrics: Sequence[Record], timing: Sequence[Record]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the real steps, the hours and the mean return of every evaluation of the agent, (n,) each.

    Real steps and hours are counted from the start of the run. Epochs take the place of real steps in runs that did not
    record them. Runs on recordings never evaluate an agent: n is 0.
    """
    seconds = {record.step: record.values["seconds"] for record in timing}
    real_steps, points = None, []
    for record in metrics:
        real_steps = record.values.get("real_steps", real_steps)
        if record.phase == "evaluate" and "return" in record.values:
            x = record.epoch if real_steps is None else real_steps
            hours = seconds.get(record.step, np.nan) / 3600
            points.append((x, hours, record.values["return"]))
    x, hours, values = np.array(points, dtype=float).reshape(-1, 3).T
    return x, hours, values
