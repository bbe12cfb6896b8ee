"""What the columns of tables mean: which are choices, buttons and axes."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from adamas.core.actions import ActionSpec, Axis, Choice
from adamas.core.errors import UserError, nearest
from adamas.data.importing.source import Column, Table


def describe(
    tables: Sequence[Table],
    choices: Collection[str] = (),
    buttons: Collection[str] = (),
    axes: Collection[str] = (),
    ignore: Collection[str] = (),
) -> ActionSpec:
    """What an action is in all ``tables`` together.

    Unless named in ``choices``, ``buttons`` or ``axes``, a column of texts is a choice, and so is one of whole numbers
    if it is the only one; one of 0 and 1 is a button; any other an axis from the least recorded number to the greatest.

    Raises:
        UserError: tables have different columns, or numbers do not fit what they are said to be.
    """
    names = [name for name in tables[0].action if name not in ignore]
    for table in tables:
        if [name for name in table.action if name not in ignore] != names:
            raise UserError(
                f"{table.path} has the columns {', '.join(table.action)}, but {tables[0].path} "
                f"{', '.join(tables[0].action)}; give all the same, or leave some out with --ignore"
            )
    for name in (*choices, *buttons, *axes, *ignore):
        if name not in tables[0].columns:
            raise UserError(f"{tables[0].path} has no column {name!r}; {nearest(name, tables[0].columns)}")
    found: tuple[list[Choice], list[str], list[Axis]] = ([], [], [])
    for name in names:
        column = np.concatenate([table.columns[name] for table in tables])
        text = column.dtype.kind == "U"
        whole = not text and bool((column == np.floor(column)).all()) and column.min() >= 0
        binary = whole and column.max() <= 1
        if name in choices or (
            name not in buttons and name not in axes and (text or (whole and len(names) == 1))
        ):
            if not text and not whole:
                raise UserError(
                    f"{name} cannot be a choice: it is {column[column != np.floor(column)][:1]} somewhere"
                )
            options = sorted(set(column.tolist())) if text else [str(i) for i in range(int(column.max()) + 1)]
            found[0].append(Choice(tuple(options), name))
        elif name in buttons or (name not in axes and binary):
            if not binary:
                raise UserError(f"{name} cannot be a button: it is something else than 0 and 1 somewhere")
            found[1].append(name)
        elif text:
            raise UserError(f"{name} cannot be an axis: it holds texts")
        else:
            low, high = float(column.min()), float(column.max())
            if low == high:
                raise UserError(
                    f"{name} is {low:g} everywhere, which says nothing; leave it out with --ignore {name}"
                )
            found[2].append(Axis(name, _rounded(low), _rounded(high)))
    return ActionSpec(*map(tuple, found))  # type: ignore[arg-type]


def encode(table: Table, spec: ActionSpec) -> np.ndarray:
    """The actions of a table: (rows, ``*spec.shape``)."""
    entries = [_options(table.columns[choice.name], choice) for choice in spec.choices]
    entries += [table.columns[name] for name in (*spec.buttons, *(axis.name for axis in spec.axes))]
    actions = np.stack(entries, axis=-1)
    return actions[:, 0].astype(np.int64) if spec.is_discrete else actions.astype(np.float32)


def _options(column: Column, choice: Choice) -> Column:
    if column.dtype.kind != "U":
        return column
    return np.searchsorted(np.array(choice.options), column).astype(np.float64)


def _rounded(end: float) -> float:
    """As the store holds it, so that the numbers lie within the ends."""
    return float(np.float32(end))
