"""Flatten rows that contain objects and lists: recordings of a keyboard and a mouse, and nested actions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from adamas.core.errors import UserError
from adamas.data.importing.names import folded, meaning
from adamas.data.importing.reading import Row
from adamas.data.importing.source import AXIS, BUTTON, STATE

KEY = "key.keyboard."  # prefix of the names of keys in the recordings of VPT
MOUSE_BUTTONS = ("left", "right", "middle")  # names of the mouse buttons 0, 1 and 2 of these recordings
MOTION = ("dx", "dy", "dwheel")
POSITION = ("x", "y")


def is_tick(row: Mapping[str, Any]) -> bool:
    """Whether a row holds the state of a keyboard and a mouse, as in the recordings of VPT (Baker et al. 2022)."""
    return isinstance(row.get("keyboard"), Mapping) or isinstance(row.get("mouse"), Mapping)


def ticks(path: Path, rows: Sequence[Row]) -> tuple[list[Row], dict[str, str]]:
    """Convert rows of a keyboard and a mouse to rows of numbers.

    Every key and mouse button that is ever pressed gets a column of 0 and 1: ``w``, ``left_shift``, ``mouse_left``. The
    mouse's movement becomes ``mouse_dx``, ``mouse_dy`` and ``mouse_dwheel``. Its position is used only if the movement
    is not recorded. All other numbers, except rewards, ends, times and counters, are the game's state.

    Returns:
        The rows, and the kinds of their columns.

    Raises:
        UserError: a row lacks an entry that the first row has.
    """
    held = [_held(path, line, row) for line, row in rows]
    pressed = sorted({name for names in held for name in names})
    mouse = rows[0][1].get("mouse", {})
    moves = [name for name in (MOTION if "dx" in mouse else POSITION) if name in mouse]
    others = [name for name, cell in rows[0][1].items() if _is_number(cell)]
    kinds = dict.fromkeys(pressed, BUTTON) | {f"mouse_{name}": AXIS for name in moves}
    kinds |= {folded(name): STATE for name in others if meaning(name) is None}
    flat: list[Row] = []
    for number, ((line, row), names) in enumerate(zip(rows, held, strict=True)):
        try:
            cells = {"frame": number} | {f"mouse_{name}": row["mouse"][name] for name in moves}
            cells |= {name: row[name] for name in others}
        except (KeyError, TypeError) as error:
            raise UserError(
                f"{path}, row {line}: {error} is missing, although the first row has it; give all rows the same entries"
            ) from error
        flat.append((line, cells | {name: int(name in names) for name in pressed}))
    return flat, kinds


def _held(path: Path, line: int, row: Mapping[str, Any]) -> set[str]:
    """Return the keys and mouse buttons that are pressed in a row."""
    keys = _part(row, "keyboard", "keys")
    buttons = _part(row, "mouse", "buttons")
    if not isinstance(keys, list) or not isinstance(buttons, list):
        raise UserError(f"{path}, row {line}: keyboard.keys and mouse.buttons must be lists; export it again")
    names = {folded(str(key).removeprefix(KEY)).replace(".", "_") for key in keys}
    for button in buttons:
        known = isinstance(button, int) and 0 <= button < len(MOUSE_BUTTONS)
        names.add(f"mouse_{MOUSE_BUTTONS[button] if known else folded(str(button))}")
    return names


def _part(row: Mapping[str, Any], device: str, name: str) -> Any:
    found = row.get(device, {})
    return found.get(name, []) if isinstance(found, Mapping) else None


def _is_number(cell: Any) -> bool:
    return isinstance(cell, int | float)


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten objects and lists: ``{"a": {"x": 1, "y": [2, 3]}}`` becomes the columns a.x, a.y_0 and a.y_1."""
    return dict(_leaves("", row))


def _leaves(name: str, cell: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(cell, Mapping):
        for key, value in cell.items():
            yield from _leaves(f"{name}.{key}" if name else str(key), value)
    elif isinstance(cell, list):
        for i, value in enumerate(cell):
            yield from _leaves(f"{name}_{i}", value)
    else:
        yield name, cell
