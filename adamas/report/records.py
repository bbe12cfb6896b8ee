"""Read the metrics files of a run, and extract curves from them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from adamas.core.errors import UserError
from adamas.core.files import read_file

Record = dict[str, Any]
"""The names and numbers in one line of a metrics file."""


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
    record = json.loads(line)
    for name in ("step", "epoch"):
        if type(record[name]) is not int:
            raise TypeError(f"{name} is {record[name]!r:.40}")
    if not isinstance(record["phase"], str):
        raise TypeError(f"phase is {record['phase']!r:.40}")
    for name, value in record.items():
        if name != "phase":
            float(value)
    return {str(name): value for name, value in record.items()}


def curve(metrics: list[Record], phase: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the epochs (n,) and values (n,) of a metric.

    If a phase has n records in epoch e, the i-th of them (counted from 1) is placed at e - 1 + i / n on the axis of
    epochs.
    """
    records = [r for r in metrics if r["phase"] == phase]
    total, seen = Counter(r["epoch"] for r in records), Counter[int]()
    points = []
    for record in records:
        epoch = record["epoch"]
        seen[epoch] += 1
        if name in record:
            points.append((epoch - 1 + seen[epoch] / total[epoch], float(record[name])))
    x, y = zip(*points, strict=True) if points else ((), ())
    return np.array(x), np.array(y)


def evaluations(metrics: list[Record], timing: list[Record]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the real steps, the hours and the mean return of every evaluation of the agent, (n,) each.

    Real steps and hours are counted from the start of the run. Epochs take the place of real steps in runs that did not
    record them. Runs on recordings never evaluate an agent: n is 0.
    """
    seconds = {r["step"]: float(r["seconds"]) for r in timing}
    real_steps, points = None, []
    for record in metrics:
        real_steps = record.get("real_steps", real_steps)
        if record["phase"] == "evaluate" and "return" in record:
            x = record["epoch"] if real_steps is None else real_steps
            hours = seconds.get(record["step"], np.nan) / 3600
            points.append((x, hours, float(record["return"])))
    x, hours, values = np.array(points, dtype=float).reshape(-1, 3).T
    return x, hours, values
