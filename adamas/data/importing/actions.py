"""Infer the actions of recordings: which columns of their tables are choices, buttons and axes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from adamas.core.actions import ActionSpec, Axis, Choice
from adamas.core.errors import UserError, nearest
from adamas.data.importing.source import AXIS, BUTTON, Column, Table

MAX_OPTIONS = 10_000
"""Most options of a choice. The networks learn an embedding for each option."""


def describe(
    tables: Sequence[Table],
    choices: Collection[str] = (),
    buttons: Collection[str] = (),
    axes: Collection[str] = (),
    ignore: Collection[str] = (),
) -> ActionSpec:
    """Return the description of the actions in all ``tables`` together.

    The kind of a column follows from its name in ``choices``, ``buttons`` or ``axes``, or from the file. Otherwise, a
    column of texts is a choice, and so is a single column of whole numbers. A column of 0 and 1 is a button. Every
    other column is an axis from the smallest recorded number to the largest.

    Args:
        tables: one for each recording.
        choices: names of columns that are choices.
        buttons: names of columns that are buttons.
        axes: names of columns that are axes.
        ignore: names of columns that are not part of the action.

    Raises:
        UserError: tables have different columns, or the content of a column does not fit its kind.
    """
    names = _names(tables, {*choices, *buttons, *axes}, ignore)
    found: tuple[list[Choice], list[str], list[Axis]] = ([], [], [])
    for name in names:
        column = np.concatenate([values_of(table, name) for table in tables])
        text = column.dtype.kind == "U"
        whole = not text and bool((column == np.floor(column)).all()) and column.min() >= 0
        binary = whole and column.max() <= 1
        kind = next((table.kinds[name] for table in tables if name in table.kinds), None)
        if name in choices or (
            name not in buttons and name not in axes and (text or (whole and len(names) == 1 and not kind))
        ):
            found[0].append(_choice(tables, name, column))
        elif name in buttons or (name not in axes and binary and kind != AXIS):
            if not binary:
                raise UserError(f"{name} cannot be a button, since it holds other numbers than 0 and 1")
            found[1].append(name)
        elif text:
            raise UserError(f"{name} cannot be an axis, since it holds texts")
        # Leave out a mouse that never moved.
        elif kind != AXIS or name in axes or column.min() < column.max():
            found[2].append(_axis(tables, name, column))
    return ActionSpec(*map(tuple, found))  # type: ignore[arg-type]


def _names(tables: Sequence[Table], named: Collection[str], ignore: Collection[str]) -> list[str]:
    """Return the columns of the action. A keyboard table has no columns for buttons that were never pressed."""
    known = {name for table in tables for name in (*table.columns, *table.ignored)}
    for name in (*named, *ignore):
        if name not in known:
            raise UserError(f"{tables[0].path} has no column {name!r}; {nearest(name, known)}")
    listed = {name for table in tables for name, kind in table.kinds.items() if kind == BUTTON}
    first: list[str] | None = None
    for table in tables:
        names = [name for name in table.actions(named) if name not in ignore and name not in listed]
        first = names if first is None else first
        if set(names) != set(first) or table.keyboard != tables[0].keyboard:
            raise UserError(
                f"{table.path} has the columns {', '.join(table.actions(named))}, but {tables[0].path} "
                f"{', '.join(tables[0].actions(named))}; give all the same columns, or leave some out with `ignore`"
            )
        texts = [
            name for name in names if (table.columns[name].dtype.kind == "U") != _is_text(tables[0], name)
        ]
        if texts:
            raise UserError(
                f"{texts[0]} holds texts in one of {tables[0].path} and {table.path}, and numbers in the other; use "
                "one of them in all tables"
            )
    found = [*(first or []), *sorted(listed.difference(ignore))]
    if not found:
        raise UserError(
            f"{tables[0].path} has no column for the action, only {', '.join(tables[0].columns)}; add one, or import "
            "without actions (`without_actions`)"
        )
    return found


def _is_text(table: Table, name: str) -> bool:
    return table.columns[name].dtype.kind == "U"


def _choice(tables: Sequence[Table], name: str, column: Column) -> Choice:
    if column.dtype.kind == "U":
        options = sorted(set(column.tolist()))
        if len(options) > MAX_OPTIONS:
            raise UserError(
                f"{name} holds {len(options):,} different texts; leave it out with `ignore` {name}"
            )
        return Choice(tuple(options), name)
    if (strange := ~((column >= 0) & (column == np.floor(column)))).any():
        raise UserError(
            f"{_row(tables, name, strange)} is {column[strange][0]:g}; a choice must be a whole number, at least 0"
        )
    if (large := column >= MAX_OPTIONS).any():
        raise UserError(
            f"{_row(tables, name, large)} is {column[large][0]:.0f}, too large for the number of a choice; leave the "
            f"column out with `ignore` {name}, or call it an axis with `axes` {name}"
        )
    return Choice(tuple(str(i) for i in range(int(column.max()) + 1)), name)


def _axis(tables: Sequence[Table], name: str, column: Column) -> Axis:
    low, high = float(column.min()), float(column.max())
    if low == high:
        raise UserError(
            f"{name} is {low:g} everywhere, and an axis must vary; leave it out with `ignore` {name}"
        )
    if (large := np.abs(column) > np.finfo(np.float32).max).any():
        raise UserError(
            f"{_row(tables, name, large)} is {column[large][0]:g}, too large for an axis; scale it down"
        )
    return Axis(name, _rounded(low), _rounded(high))


def _row(tables: Sequence[Table], name: str, wrong: np.ndarray) -> str:
    """Return the place of the first wrong row, for error messages."""
    i = int(wrong.argmax())
    for table in tables:
        if i < len(table):
            return f"{table.path}, row {table.line(i)}: {name}"
        i -= len(table)
    raise AssertionError("more rows than there are in the tables")


def steady(tables: Sequence[Table], names: Collection[str]) -> Iterator[str]:
    """Yield the columns that grow in every row of every table, like a counter or a clock."""
    for name in names:
        columns = [values_of(table, name) for table in tables]
        if all(x.dtype.kind != "U" and len(x) > 3 and bool((np.diff(x) > 0).all()) for x in columns):
            yield name


def values_of(table: Table, name: str) -> Column:
    """Return a column, (rows,): zeros for a button that was never pressed and so has no column."""
    return table.columns.get(name, np.zeros(len(table)))


def encode(table: Table, spec: ActionSpec) -> np.ndarray:
    """Return the actions of a table, (rows, ``*spec.shape``); for an empty table, one row without any action."""
    if spec == ActionSpec.nothing():
        return np.zeros(max(1, len(table)), np.int64)
    entries = [_options(table.columns[choice.name], choice) for choice in spec.choices]
    entries += [values_of(table, name) for name in (*spec.buttons, *(axis.name for axis in spec.axes))]
    actions = np.stack(entries, axis=-1)
    return actions[:, 0].astype(np.int64) if spec.is_discrete else actions.astype(np.float32)


def _options(column: Column, choice: Choice) -> Column:
    if column.dtype.kind != "U":
        return column
    return np.searchsorted(np.array(choice.options), column).astype(np.float64)


def _rounded(end: float) -> float:
    """Round the end of an axis to float32, as the store does with actions, so that no action is outside."""
    return float(np.float32(end))
