"""Read tables of actions: from the cells of a file to columns of numbers or texts."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from adamas.core.errors import UserError
from adamas.data.importing.clocks import UNITS
from adamas.data.importing.names import column, folded, meaning, split_done
from adamas.data.importing.reading import Row, read_rows
from adamas.data.importing.source import STATE, Table
from adamas.data.importing.ticks import flat, is_tick, ticks

MAX_TEXT = 200  # most characters in a cell
OBSERVED = ("obs", "observation", "observations", "state", "info", "infos")
"""Objects and lists in a row that hold observations rather than actions, such as LeRobot's ``observation.state``."""

NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?", re.IGNORECASE)
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")  # 1,234 may mean 1234


def read_table(path: Path, ignore: Collection[str] = ()) -> Table:
    """Read a table with named columns. A column holds numbers, true and false (read as 1 and 0), or only texts.

    Names are converted to lower case, and those that mean a reward, an end, a time or a counter get the name that
    :class:`~adamas.data.importing.source.Table` uses. Objects and lists in cells become several columns. Keyboards and
    mice become buttons and axes (:mod:`~adamas.data.importing.ticks`).

    Args:
        path: the file.
        ignore: names after import (:func:`~adamas.data.importing.names.column`) of columns that are not read, so that
            they may hold anything.

    Raises:
        UserError: the file cannot be read, a row has other columns than the first, or a cell is empty or not a finite
            number.
    """
    given = read_rows(path)
    if not given:
        raise UserError(f"{path} has no rows; give a table with one row for each frame")
    rows = _without(given, ignore)
    keyboard = is_tick(rows[0][1])
    if keyboard:
        rows, kinds = ticks(path, rows)
    else:
        kinds = {folded(name): STATE for name in flat(dict(filter(_is_observed, rows[0][1].items())))}
        rows = _without([(line, flat(row)) for line, row in rows], ignore)
    for line, row in rows:
        if row.keys() != rows[0][1].keys():
            raise UserError(
                f"{path}, row {line}: the columns differ from those of the first row; give all rows the same columns"
            )
    comma = _decimal_comma(path, rows)
    columns: dict[str, np.ndarray] = {}
    for number, name in enumerate(rows[0][1], start=1):
        cells = [(line, row[name]) for line, row in rows]
        called = meaning(name) or folded(name) or _unnamed(path, number, cells)
        if called == "frame" and called in columns:
            continue  # a second counter of frames adds nothing
        values = _column(path, name, cells, comma)
        if called.startswith("time_"):
            values, called = values * UNITS[called[5:]], "time"
        if called in columns:
            raise UserError(f"{path}: {name!r} is a second column that means {called}; rename one")
        columns[called] = values
    split_done(columns, str(path))
    names = {column(name) for _, row in given for name in (*row, *flat(row))} if ignore else set()
    ignored = names.intersection(ignore)
    return Table(path, columns, tuple(line for line, _ in rows), kinds, keyboard, ignored)


def _without(rows: Sequence[Row], ignore: Collection[str]) -> list[Row]:
    """Return rows without the cells of ignored columns."""
    return [
        (line, {name: cell for name, cell in row.items() if column(name) not in ignore}) for line, row in rows
    ]


def _is_observed(entry: tuple[str, Any]) -> bool:
    """Whether an entry of a row is an object or a list of observations, or was a part of such an object."""
    name, cell = entry
    whole, dot, _ = folded(name).partition(".")
    return whole in OBSERVED and (bool(dot) or isinstance(cell, Mapping | list))


def _unnamed(path: Path, number: int, cells: Sequence[tuple[int, Any]]) -> str:
    """Return the name of a column without a name: "frame" if it counts the rows, as pandas writes it."""
    numbers = [_number(cell, comma=False) for _, cell in cells]
    if all(b is not None and a is not None and b == a + 1 for a, b in pairwise(numbers)):
        return "frame"
    raise UserError(f"{path}, row 1: column {number} has no name; give it one")


def _decimal_comma(path: Path, rows: Sequence[Row]) -> bool:
    """Whether numbers have a decimal comma, such as 0,5.

    Raises:
        UserError: the numbers are ambiguous.
    """
    texts = [(line, cell) for line, row in rows for cell in row.values() if isinstance(cell, str)]
    numbers = [(line, cell) for line, cell in texts if NUMBER.fullmatch(cell)]
    commas = [(line, cell) for line, cell in numbers if "," in cell]
    points = [(line, cell) for line, cell in numbers if "." in cell]
    if not commas:
        return False
    if points:
        line, cell = points[0]
        raise UserError(
            f"{path}, row {line}: {cell} has a decimal point, {commas[0][1]} a comma; use one of them everywhere"
        )
    if all(THOUSANDS.fullmatch(cell) for _, cell in commas):
        line, cell = commas[0]
        raise UserError(
            f"{path}, row {line}: {cell} may be {cell.replace(',', '')} or {cell.replace(',', '.')}; use "
            "decimal points"
        )
    return True


def _column(path: Path, name: str, cells: Sequence[tuple[int, Any]], comma: bool) -> np.ndarray:
    numbers = [_number(cell, comma) for _, cell in cells]
    if all(number is None for number in numbers) and all(isinstance(cell, str) and cell for _, cell in cells):
        return _texts(path, name, cells)
    for (line, cell), number in zip(cells, numbers, strict=True):
        if number is None or not math.isfinite(number):
            raise UserError(
                f"{path}, row {line}: {name} is {_shown(cell)}, not a number; fill in every cell with one"
            )
    return np.array(numbers, dtype=np.float64)


def _texts(path: Path, name: str, cells: Sequence[tuple[int, str]]) -> np.ndarray:
    """Return a column of texts, if they can be the options of a choice."""
    for line, cell in cells:
        if len(cell) > MAX_TEXT:
            raise UserError(
                f"{path}, row {line}: {name} is a text of {len(cell):,} characters; leave it out of the table"
            )
    line, cell = cells[0]
    # Numbers with units, dates, or several numbers.
    if all(re.match(r"[+-]?[.,]?\d", cell) for _, cell in cells):
        raise UserError(
            f"{path}, row {line}: {name} is {_shown(cell)}, not a number; give plain numbers, one in each column"
        )
    return np.array([cell for _, cell in cells], dtype=str)


def _number(cell: Any, comma: bool) -> float | None:
    if isinstance(cell, str):
        if cell.lower() in ("true", "false"):
            return float(cell.lower() == "true")
        cell = cell.strip()
        if not NUMBER.fullmatch(cell) or ("," in cell and not comma):
            return None
        return float(cell.replace(",", "."))
    try:
        return float(cell)
    except (TypeError, ValueError):
        return None
    except OverflowError:
        return math.inf


def _shown(cell: Any) -> str:
    text = repr(cell)
    return text if len(text) <= 40 else f"{text[:40]}..."
