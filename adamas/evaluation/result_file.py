"""The file ``scores.json``, which keeps the scores of an evaluation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from adamas.core.files import write_numbered
from adamas.core.json_data import from_json
from adamas.evaluation.results import Evaluation


def write_results(path: Path, results: Mapping[str, Any]) -> Path:
    """Write results as JSON, atomically, without overwriting earlier results.

    Returns:
        The path written: ``path``, or the first free of ``name-2.json``, ``name-3.json``, ... if it exists.

    Raises:
        UserError: if the folder cannot be written.
    """
    return write_numbered(path, json.dumps(results, indent=2, allow_nan=False) + "\n")


def write_evaluation(path: Path, evaluation: Evaluation) -> Path:
    """Write the scores of an evaluation, as :func:`write_results`."""
    data = asdict(evaluation)
    if evaluation.run is None:
        del data["run"]
    if evaluation.target is None:
        del data["target"], data["target_commit"]
    return write_results(path, data)


def parse_evaluation(content: bytes) -> Evaluation:
    """Read the scores of an evaluation from the content of a file.

    Raises:
        ValueError, OverflowError, RecursionError: it is damaged, or holds something else.
    """
    return from_json(Evaluation, json.loads(content))


def newest_file(folder: Path) -> Path | None:
    """The newest of ``scores.json``, ``scores-2.json``, ... in a folder; None if there are none."""
    files = [path for path in folder.glob("scores*.json") if not _is_empty(path)]
    return max(files, key=_number, default=None)


def _is_empty(file: Path) -> bool:
    """Whether an older version that was killed left an empty file."""
    return file.is_file() and file.stat().st_size == 0


def _number(file: Path) -> int:
    """Return 1 for scores.json, 2 for scores-2.json, and so on."""
    _, _, number = file.stem.partition("-")
    return int(number) if number.isdecimal() else 1
