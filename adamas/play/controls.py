"""Key bindings: how keys and moves translate into actions.

Keyboards, gamepads and messages refer to moves by number and name. If an action is one choice among several, the
moves are its options. An option such as ``turn_left`` is renamed to left, so that the arrow keys find it.
If an action is a vector, the moves are all combinations of arrow keys and space, and each remaining button and option
by itself. An agent's actions need not be moves; those are described in words.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import product

import torch
from torch import Tensor

from adamas.core.actions import ActionSpec

PARTS = ("up", "down", "right", "left", "fire")  # parts of a move's name, in the order in which they appear
SYNONYMS = {
    "up": ("w", "forward", "move_forward"),
    "down": ("s", "backward", "move_backward"),
    "right": ("d", "turn_right", "move_right"),
    "left": ("a", "turn_left", "move_left"),
    "fire": ("attack", "left_click"),
}
"""Other names for the parts. The first one that is among the buttons or options is bound to the key."""


class Controls:
    """Key bindings for actions that are vectors.

    Left and right move the first axis to its ends. Up and down move the second axis, or the only one. If the second
    axis rests at its low end, as a gas pedal does, down moves the third axis. A direction that moves no axis presses
    the button of its name or of a synonym, and so does fire. Without such a button, fire presses the first unbound
    one. A digit presses the button of that number. Without keys, choices are at their first option and axes are at 0
    or at the nearest value to it.

    Attributes:
        rest: (D,) float32, the action without any key.
        effects: for each key, the index of the entry that it changes, and the value that it sets.
    """

    def __init__(self, spec: ActionSpec) -> None:
        """Bind keys for ``spec``, which must not be a single choice."""
        ends = [min(max(0.0, axis.low), axis.high) for axis in spec.axes]
        self.rest = torch.tensor([0.0] * (spec.size - len(ends)) + ends)
        axes = _axes(spec)
        pressed = {part: button for part, button in _part_numbers(spec.buttons).items() if part not in axes}
        left = [button for button in range(len(spec.buttons)) if button not in pressed.values()]
        if "fire" not in pressed and left:
            pressed["fire"] = left[0]
        pressed |= {str(i + 1): i for i in range(len(spec.buttons))}
        self.effects = {**axes, **{key: (len(spec.choices) + i, 1.0) for key, i in pressed.items()}}

    def action(self, keys: Collection[str]) -> Tensor:
        """The action (D,) float32 of ``keys`` held together. If two change the same entry, the last one counts."""
        action = self.rest.clone()
        for key in keys:
            if key in self.effects:
                entry, value = self.effects[key]
                action[entry] = value
        return action


def _part_numbers(names: Sequence[str]) -> dict[str, int]:
    """For each part, the number of the name in ``names`` that equals the part or is its first synonym."""
    found = {}
    for part in PARTS:
        known = [name for name in (part, *SYNONYMS[part]) if name in names]
        if known:
            found[part] = names.index(known[0])
    return found


def _axes(spec: ActionSpec) -> dict[str, tuple[int, float]]:
    if not spec.axes:
        return {}
    first = spec.size - len(spec.axes)
    second = min(1, len(spec.axes) - 1)
    pedals = len(spec.axes) > 2 and spec.axes[1].low >= 0
    return {
        "left": (first, spec.axes[0].low),
        "right": (first, spec.axes[0].high),
        "up": (first + second, spec.axes[second].high),
        "down": (first + 2, spec.axes[2].high) if pedals else (first + second, spec.axes[second].low),
    }


class Moves:
    """The moves of an action specification.

    Attributes:
        names: names of the M moves.
        actions: their actions, (M, ``*spec.shape``).
        rest: number of the move when no key is pressed.
    """

    def __init__(self, spec: ActionSpec) -> None:
        """List all actions of a discrete ``spec``, or those of a vector ``spec`` that keys can reach."""
        self._spec = spec
        if spec.is_discrete:
            parts = {number: part for part, number in _part_numbers(spec.names).items()}
            self.names = tuple(parts.get(i, name) for i, name in enumerate(spec.names))
            self.actions = torch.arange(spec.num_actions)
            self.rest = spec.names.index("noop") if "noop" in spec.names else 0
            return
        moves = _moves(spec)
        self.names, self.actions, self.rest = tuple(moves), torch.stack(list(moves.values())), 0

    def number(self, action: Tensor) -> int | str:
        """The number of the move that equals an action, (``*spec.shape``), or a description if there is none."""
        if self._spec.is_discrete:
            return int(action)
        same = (self.actions == action).all(dim=-1).nonzero()
        return int(same[0]) if len(same) else describe_action(self._spec, action)


def _moves(spec: ActionSpec) -> dict[str, Tensor]:
    controls = Controls(spec)
    moves: dict[str, Tensor] = {}
    for keys in product(("", "up", "down"), ("", "right", "left"), ("", "fire")):
        held = [key for key in keys if key]
        action = controls.action(held)
        known = any(torch.equal(action, other) for other in moves.values())
        if not known and all(key in controls.effects for key in held):
            moves["".join(held) or "noop"] = action
    reached = {controls.effects[part][0] for part in PARTS if part in controls.effects}
    for entry, choice in enumerate(spec.choices):
        for value, option in enumerate(choice.options[1:], 1):
            moves[f"{choice.name} {option}"] = _changed(controls.rest, entry, value)
    for entry, name in enumerate(spec.buttons, len(spec.choices)):
        if entry not in reached:
            moves[name] = _changed(controls.rest, entry, 1)
    return moves


def _changed(action: Tensor, entry: int, value: float) -> Tensor:
    changed = action.clone()
    changed[entry] = value
    return changed


def describe_action(spec: ActionSpec, action: Tensor) -> str:
    """Describe an action, (D,): options other than the first, pressed buttons, and positions of the axes."""
    values = action.tolist()
    choices, values = values[: len(spec.choices)], values[len(spec.choices) :]
    words = [f"{c.name} {c.options[int(i)]}" for c, i in zip(spec.choices, choices, strict=True) if i]
    words += [
        name for name, pressed in zip(spec.buttons, values[: len(spec.buttons)], strict=True) if pressed
    ]
    axes = [f"axis {axis.name}" if axis.name.isdigit() else axis.name for axis in spec.axes]
    places = zip(axes, values[len(spec.buttons) :], strict=True)
    return ", ".join([*words, *(f"{axis} {value:.2f}" for axis, value in places)]) or "noop"
