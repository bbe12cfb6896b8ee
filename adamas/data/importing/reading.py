"""Read rows from CSV, JSON, JSON lines and Parquet files."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from adamas.core.errors import UserError, not_installed

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")
DELIMITERS = (",", ";", "\t", "|")

Row = tuple[int, dict[str, Any]]
"""The number of a row (in CSV and JSON lines files: of its line), and its cells by column."""


def read_rows(path: Path) -> list[Row]:
    """Read the rows of a file, whose suffix gives its format.

    Raises:
        UserError: the file cannot be read, or has another format.
    """
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise UserError(f"{path} has an unknown format; give a table in one of {', '.join(SUFFIXES)}")
    try:
        if kind == ".parquet":
            return list(enumerate(_parquet(path), start=1))
        if kind in (".csv", ".tsv"):
            with open(path, newline="", encoding="utf-8-sig") as file:
                return _csv(path, file)
        text = path.read_text(encoding="utf-8-sig")
        if kind == ".jsonl":
            lines = enumerate(text.split("\n"), start=1)
            rows: list[tuple[int, Any]] = [
                (number, json.loads(line)) for number, line in lines if line.strip()
            ]
        else:
            content = json.loads(text)
            rows = list(enumerate(content if isinstance(content, list) else [content], start=1))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; check the path") from error
    except (ValueError, RecursionError, csv.Error) as error:  # ValueError: not UTF-8, or not JSON
        raise UserError(
            f"{path} cannot be read as a {kind[1:].upper()} file ({_one_line(error)}); export it again"
        ) from error
    if not all(isinstance(row, dict) for _, row in rows) or (
        kind == ".json" and not isinstance(content, list)
    ):
        raise UserError(f'{path} must hold a list of rows such as {{"action": 3}}; export it in this form')
    return rows


def _one_line(error: BaseException) -> str:
    return str(error).partition("\n")[0][:200]


def _parquet(path: Path) -> list[dict[str, Any]]:
    try:
        from pyarrow import ArrowException, parquet
    except ModuleNotFoundError as error:
        raise not_installed("pyarrow", "parquet") from error
    try:
        return parquet.read_table(path).to_pylist()
    except ArrowException as error:
        raise UserError(
            f"{path} cannot be read as a Parquet file ({_one_line(error)}); export it again"
        ) from error


def _csv(path: Path, file: TextIO) -> list[Row]:
    first = file.readline()
    if first.lower().startswith("sep=") and len(first.strip()) == 5:  # written by Excel
        delimiter, lines, skipped = first[4], iter(file), 1
    else:
        delimiter, lines, skipped = _delimiter(first), chain([first], file), 0
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    names = [name.strip() for name in next(reader, [])]
    if names:
        names[0] = names[0].lstrip("#").strip()  # NumPy writes a # before the names
    rows = [(reader.line_num + skipped, [cell.strip() for cell in row]) for row in reader if row]
    for line, row in rows:
        if len(row) != len(names):
            raise UserError(
                f"{path}, row {line}: {len(row)} cells, but the first row names {len(names)} columns; correct it"
            )
    while names and not names[-1] and all(not row[len(names) - 1] for _, row in rows):
        names = names[:-1]  # every line ends with a delimiter
    _check_header(path, names, [row for _, row in rows])
    return [(line, dict(zip(names, row, strict=False))) for line, row in rows]


def _delimiter(header: str) -> str:
    """Return the delimiter that occurs most often in the first line."""
    unquoted = "".join(header.split('"')[::2])
    return max(DELIMITERS, key=unquoted.count)


def _check_header(path: Path, names: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    if len(set(names)) < len(names):
        raise UserError(f"{path}: two columns have the same name; rename one")
    cells = list(zip(*rows, strict=False))
    numbers = [_is_number(name) for name in names if name]
    repeated = [
        name for name, column in zip(names, cells, strict=False) if name in column and not _is_number(name)
    ]
    # A whole number may be the name of a key, but a fraction is a value.
    fractions = [name for name in names if _is_number(name) and not name.isdecimal()]
    if (numbers and all(numbers)) or repeated or fractions:
        found = (repeated or fractions or [name for name in names if name])[0]
        raise UserError(
            f"{path}, row 1: {found!r} is a value instead of the name of a column; add a first line of names such as "
            "action,reward"
        )


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return text.lower() in ("true", "false")
    return True
