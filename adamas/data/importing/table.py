"""Tables of actions: CSV, JSON, JSON lines and Parquet."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adamas.core.errors import UserError, require
from adamas.data.importing.source import Table

SUFFIXES = (".csv", ".json", ".jsonl", ".parquet")


def read_table(path: Path) -> Table:
    """A table whose columns have names: numbers, true and false (1 and 0), or in one column nothing but texts.

    Raises:
        UserError: the file cannot be read, a row is not like the first, or a cell is empty or not a finite number.
    """
    try:
        rows, first_line = _rows(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; check the path") from error
    except (UnicodeDecodeError, csv.Error, json.JSONDecodeError) as error:
        raise UserError(f"{path} is no {path.suffix[1:].upper()} file ({error}); export it anew") from error
    if not rows:
        raise UserError(f"{path} has no rows; give a table with one row a frame")
    names = list(rows[0])
    for i, row in enumerate(rows):
        if list(row) != names:
            raise UserError(
                f"{path}, row {i + first_line}: its columns are not those of the first row; give every row the same"
            )
    columns = {str(name): _column(path, str(name), [row[name] for row in rows], first_line) for name in names}
    table = Table(path, columns, first_line)
    if not table.action:
        raise UserError(f"{path} has no column for the action, only {', '.join(names)}; add one")
    return table


def _rows(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The rows, and the number by which their file knows the first."""
    if path.suffix == ".csv":
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            names = next(reader, [])
            if len(set(names)) < len(names):
                raise UserError(f"{path}: two columns have the same name; rename one")
            return [dict(_paired(path, names, row, reader.line_num)) for row in reader if row], 2
    if path.suffix == ".parquet":
        try:
            from pyarrow import ArrowInvalid, parquet
        except ModuleNotFoundError as error:
            raise require("pyarrow", "parquet") from error
        try:
            return parquet.read_table(path).to_pylist(), 1
        except ArrowInvalid as error:
            raise UserError(f"{path} is no Parquet file; export it anew") from error
    text = path.read_text(encoding="utf-8")
    rows = (
        [json.loads(line) for line in text.splitlines() if line]
        if path.suffix == ".jsonl"
        else json.loads(text)
    )
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(f'{path} must hold a list of rows such as {{"action": 3}}; export it so')
    return rows, 1


def _paired(path: Path, names: Sequence[str], row: Sequence[str], line: int) -> Iterator[tuple[str, str]]:
    if len(row) != len(names):
        raise UserError(
            f"{path}, row {line}: {len(row)} cells where the first row names {len(names)}; mend it"
        )
    return zip(names, row, strict=True)


def _column(path: Path, name: str, cells: Sequence[Any], first_line: int) -> np.ndarray:
    numbers = [_number(cell) for cell in cells]
    if all(number is None for number in numbers) and all(isinstance(cell, str) and cell for cell in cells):
        return np.array(cells, dtype=str)
    for i, number in enumerate(numbers):
        if number is None or not math.isfinite(number):
            raise UserError(
                f"{path}, row {i + first_line}: {name} is {cells[i]!r}, not a number; fill in every cell"
            )
    return np.array(numbers, dtype=np.float64)


def _number(cell: Any) -> float | None:
    if isinstance(cell, str) and cell.lower() in ("true", "false"):
        return float(cell.lower() == "true")
    try:
        return float(cell)
    except (TypeError, ValueError):
        return None
