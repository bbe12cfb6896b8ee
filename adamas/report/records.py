"""The metrics files of a run: reading them, and curves out of them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from adamas.core.errors import UserError
from adamas.core.files import read_file

Record = dict[str, Any]
"""One line of a metrics file."""


def read_records(path: Path) -> list[Record]:
    """The records of a metrics file, in order.

    Raises:
        UserError: the file cannot be read, or holds something else.
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
    """A line of a metrics file. Its numbers are numbers, or what JSON lacks, as texts that ``float`` reads."""
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
    """Epochs (n,) and values (n,) of a metric.

    The i-th of n records of one phase in one epoch e is placed at e - 1 + i / n: an epoch that is recorded
    several times spreads over its unit of the axis.
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
    """Of every evaluation: real steps taken before it, hours since the run began, mean return; (n,) each.

    Runs that did not record ``real_steps`` have epochs in their place.
    """
    seconds = {r["step"]: float(r["seconds"]) for r in timing}
    real_steps, points = None, []
    for record in metrics:
        real_steps = record.get("real_steps", real_steps)
        if record["phase"] == "evaluate":
            x = record["epoch"] if real_steps is None else real_steps
            hours = seconds.get(record["step"], np.nan) / 3600
            points.append((x, hours, float(record["return"])))
    x, hours, values = np.array(points, dtype=float).reshape(-1, 3).T
    return x, hours, values
