"""What an agent may do, and its actions as numbers.

An action has up to three kinds of parts, which stand in this order::

    choices    one of several        a whole number in [0, n) each
    buttons    pressed or not        1 or 0 each
    axes       how far               a real number in [low, high] each

Where one choice is all there is (Atari's joystick with its button), an action is one int64 and its shape ``()``;
otherwise it is a float32 vector ``(K,)`` with an entry for every choice, button and axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from adamas.core.errors import UserError


@dataclass(frozen=True)
class Choice:
    """One of several things."""

    options: tuple[str, ...]
    name: str = "action"


@dataclass(frozen=True)
class Axis:
    """A lever that is moved between two ends."""

    name: str
    low: float = -1.0
    high: float = 1.0


@dataclass(frozen=True)
class ActionSpec:
    """All that an agent may do at once."""

    choices: tuple[Choice, ...] = ()
    buttons: tuple[str, ...] = ()
    axes: tuple[Axis, ...] = ()

    def __post_init__(self) -> None:
        if not self.size:
            raise UserError("actions: at least one choice, button or axis is needed")
        for choice in self.choices:
            if not choice.options or len(set(choice.options)) < len(choice.options):
                raise UserError(
                    f"actions: {choice.name} needs different options, got {', '.join(choice.options) or 'none'}"
                )
        for axis in self.axes:
            if not (math.isfinite(axis.low) and math.isfinite(axis.high) and axis.low < axis.high):
                raise UserError(
                    f"actions: {axis.name} needs a low end below its high one, got {axis.low} and {axis.high}"
                )
        if len(set(self.entries)) < self.size:
            raise UserError(f"actions: names must differ, got {', '.join(self.entries)}")

    @classmethod
    def discrete(cls, names: Sequence[str]) -> ActionSpec:
        """One choice among ``names``."""
        return cls((Choice(tuple(names)),))

    @classmethod
    def numbered(cls, num_actions: int) -> ActionSpec:
        """One choice among options without names: 0, 1, ..."""
        return cls.discrete([str(i) for i in range(num_actions)])

    @classmethod
    def nothing(cls) -> ActionSpec:
        """Of recordings that leave out what was done: the same single action at every step."""
        return cls.discrete(["nothing"])

    @property
    def entries(self) -> tuple[str, ...]:
        """(K,) names: of the choices, the buttons and the axes."""
        return (*(c.name for c in self.choices), *self.buttons, *(a.name for a in self.axes))

    @property
    def size(self) -> int:
        """Number K of entries."""
        return len(self.choices) + len(self.buttons) + len(self.axes)

    @property
    def is_discrete(self) -> bool:
        """One choice is all there is."""
        return len(self.choices) == self.size == 1

    @property
    def kind(self) -> tuple[object, ...]:
        """All but the names: what two specifications must share for an action of one to be an action of the other."""
        options = tuple(len(choice.options) for choice in self.choices)
        return options, len(self.buttons), tuple((axis.low, axis.high) for axis in self.axes)

    def __str__(self) -> str:
        if self.is_discrete:
            return f"{self.num_actions} actions ({', '.join(self.names)})"
        return f"actions of {self.size} numbers ({', '.join(self.entries)})"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one action: () or (K,)."""
        return () if self.is_discrete else (self.size,)

    @property
    def dtype(self) -> torch.dtype:
        """Of actions: int64, or float32 where they are vectors."""
        return torch.int64 if self.is_discrete else torch.float32

    @property
    def names(self) -> tuple[str, ...]:
        """The options, where one choice is all there is.

        Raises:
            UserError: there is more to an action than that.
        """
        if not self.is_discrete:
            raise UserError(
                f"this needs one choice among several actions; here an action is {', '.join(self.entries)}"
            )
        return self.choices[0].options

    @property
    def num_actions(self) -> int:
        """Number A of options, where one choice is all there is; UserError otherwise."""
        return len(self.names)

    def problem(self, action: np.ndarray) -> str:
        """What is wrong with actions, (..., ``*shape``) numbers; empty if nothing is."""
        if action.shape[action.ndim - len(self.shape) :] != self.shape:
            return f"expected {self.size} numbers an action, got shape {action.shape}"
        entries = action.reshape(-1, self.size)
        for column, wrong in enumerate(self.outside(action).T):
            if wrong.any():
                low, high, whole = self._limits(column)
                kind = "a whole number " if whole else ""
                value = entries[:, column][wrong][0]
                return f"{self.entries[column]} is {value}; it must be {kind}in [{low:g}, {high:g}]"
        return ""

    def outside(self, action: np.ndarray) -> np.ndarray:
        """Which entries of actions, (..., ``*shape``) numbers, are none of the space's: (N, K) bool."""
        entries = action.reshape(-1, self.size)
        wrong = np.empty(entries.shape, bool)
        for column, numbers in enumerate(entries.T):
            low, high, whole = self._limits(column)
            wrong[:, column] = ~((numbers >= low) & (numbers <= high))  # so that NaN is wrong
            if whole:
                wrong[:, column] |= numbers != np.floor(numbers)
        return wrong

    def _limits(self, column: int) -> tuple[float, float, bool]:
        """The ends of an entry, and whether only whole numbers will do."""
        if column < len(self.choices):
            return 0, len(self.choices[column].options) - 1, True
        if column < len(self.choices) + len(self.buttons):
            return 0, 1, True
        axis = self.axes[column - len(self.choices) - len(self.buttons)]
        return axis.low, axis.high, False
