"""What a player can do: a list of moves, whatever an action is made of.

Keys, pads and messages know moves by numbers and names alone. Where one choice is all there is, they are its options
(and ``turn_left`` is called left, so that arrows find it).
Where an action is a vector, they are what arrows and the space bar mean together, and every other button and option by
itself; the agent, which acts as it likes, is described in words.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import product

import torch
from torch import Tensor

from adamas.core.actions import ActionSpec

PARTS = ("up", "down", "right", "left", "fire")  # of the names of moves, in their order
SYNONYMS = {
    "up": ("w", "forward", "move_forward"),
    "down": ("s", "backward", "move_backward"),
    "right": ("d", "turn_right", "move_right"),
    "left": ("a", "turn_left", "move_left"),
    "fire": ("attack", "left_click"),
}
"""Other names that buttons and options have which do what a part says; the first that is there gets its key."""


class Controls:
    """What keys do where an action is a vector.

    Left and right move the first axis to its ends. Up and down move the second; where that rests at its low end, as a
    gas pedal does, down moves the third. With one axis alone they move that. A direction that moves no axis, and fire,
    press the button of that name, or of a synonym; fire without such a button presses the first one that is left. A
    digit presses the button of that number. At rest are all else: choices at their first option, axes at 0 or nearest.

    Attributes:
        rest: (K,) float32, the action without any key.
        effects: the entry of the action that a key changes, and to what.
    """

    def __init__(self, spec: ActionSpec) -> None:
        """For a ``spec`` of more than one choice."""
        ends = [min(max(0.0, axis.low), axis.high) for axis in spec.axes]
        self.rest = torch.tensor([0.0] * (spec.size - len(ends)) + ends)
        axes = _axes(spec)
        pressed = {part: button for part, button in _said(spec.buttons).items() if part not in axes}
        left = [button for button in range(len(spec.buttons)) if button not in pressed.values()]
        if "fire" not in pressed and left:
            pressed["fire"] = left[0]
        pressed |= {str(i + 1): i for i in range(len(spec.buttons))}
        self.effects = {**axes, **{key: (len(spec.choices) + i, 1.0) for key, i in pressed.items()}}

    def action(self, keys: Collection[str]) -> Tensor:
        """(K,) float32: what ``keys`` mean together; of two that change the same entry, the last counts."""
        action = self.rest.clone()
        for key in keys:
            if key in self.effects:
                entry, value = self.effects[key]
                action[entry] = value
        return action


def _said(names: Sequence[str]) -> dict[str, int]:
    """Which of ``names`` says what a part of a move does: the one of that name, or the first synonym that is there."""
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
    """The moves of a specification.

    Attributes:
        names: (M,).
        actions: (M, ``*spec.shape``).
        rest: number of the move of a player who presses nothing.
    """

    def __init__(self, spec: ActionSpec) -> None:
        """All that ``spec`` allows, or what keys reach of it."""
        self._spec = spec
        if spec.is_discrete:
            said = {number: part for part, number in _said(spec.names).items()}
            self.names = tuple(said.get(i, name) for i, name in enumerate(spec.names))
            self.actions = torch.arange(spec.num_actions)
            self.rest = spec.names.index("noop") if "noop" in spec.names else 0
            return
        moves = _moves(spec)
        self.names, self.actions, self.rest = tuple(moves), torch.stack(list(moves.values())), 0

    def number(self, action: Tensor) -> int | str:
        """The number of the move that an action, (``*spec.shape``), is; what it does, in words, if it is none."""
        if self._spec.is_discrete:
            return int(action)
        same = (self.actions == action).all(dim=-1).nonzero()
        return int(same[0]) if len(same) else in_words(self._spec, action)


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


def in_words(spec: ActionSpec, action: Tensor) -> str:
    """What an action, (K,), does: options that are not the first, buttons that are pressed, and where axes stand."""
    values = action.tolist()
    choices, values = values[: len(spec.choices)], values[len(spec.choices) :]
    words = [f"{c.name} {c.options[int(i)]}" for c, i in zip(spec.choices, choices, strict=True) if i]
    words += [
        name for name, pressed in zip(spec.buttons, values[: len(spec.buttons)], strict=True) if pressed
    ]
    axes = [f"axis {axis.name}" if axis.name.isdigit() else axis.name for axis in spec.axes]
    places = zip(axes, values[len(spec.buttons) :], strict=True)
    return ", ".join([*words, *(f"{axis} {value:.2f}" for axis, value in places)]) or "noop"
