"""Action spaces: discrete, multi-discrete, binary and continuous actions, and how they are encoded as numbers.

An action has up to three kinds of parts, in this order::

    choices    one of several options    each is a whole number in [0, n)
    buttons    pressed or not            each is 1 or 0
    axes       continuous                each is a real number in [low, high]

If the space is a single choice (as in Atari), an action is one int64 of shape ``()``. Otherwise an action is a
float32 vector ``(D,)`` with one entry for every choice, button and axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from adamas.core.console import counted
from adamas.core.errors import UserError


@dataclass(frozen=True)
class Choice:
    """A categorical part of an action: exactly one of ``options`` is chosen."""

    options: tuple[str, ...]
    name: str = "action"


@dataclass(frozen=True)
class Axis:
    """A continuous part of an action, a real number in [low, high]."""

    name: str
    low: float = -1.0
    high: float = 1.0


@dataclass(frozen=True)
class ActionSpec:
    """The action space of an environment. Raises UserError if it is empty, names repeat, or an axis has no range."""

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
                    f"actions: {axis.name} needs a finite low below high, got {axis.low} and {axis.high}"
                )
        if len(set(self.entries)) < self.size:
            raise UserError(f"actions: names must differ, got {', '.join(self.entries)}")

    @classmethod
    def discrete(cls, names: Sequence[str]) -> ActionSpec:
        """Build a discrete action space whose actions have these ``names``."""
        return cls((Choice(tuple(names)),))

    @classmethod
    def numbered(cls, num_actions: int) -> ActionSpec:
        """Build a discrete action space whose actions are named by their numbers: 0, 1, ..."""
        return cls.discrete([str(i) for i in range(num_actions)])

    @classmethod
    def nothing(cls) -> ActionSpec:
        """Build the action space of recordings without actions: a single action, taken at every step."""
        return cls.discrete(["nothing"])

    @property
    def entries(self) -> tuple[str, ...]:
        """The D names of an action's entries: first choices, then buttons, then axes."""
        return (*(c.name for c in self.choices), *self.buttons, *(a.name for a in self.axes))

    @property
    def size(self) -> int:
        """Number D of entries."""
        return len(self.choices) + len(self.buttons) + len(self.axes)

    @property
    def is_discrete(self) -> bool:
        """Whether an action is a single choice, encoded as one int64."""
        return len(self.choices) == self.size == 1

    @property
    def kind(self) -> tuple[object, ...]:
        """Everything except the names. Two spaces with the same kind accept the same actions."""
        options = tuple(len(choice.options) for choice in self.choices)
        return options, len(self.buttons), tuple((axis.low, axis.high) for axis in self.axes)

    def __str__(self) -> str:
        if self.is_discrete:
            return f"{counted(self.num_actions, 'action')} ({', '.join(self.names)})"
        return f"actions of {self.size} numbers ({', '.join(self.entries)})"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one action: () if the space is discrete, (D,) otherwise."""
        return () if self.is_discrete else (self.size,)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of actions: int64 if the space is discrete, float32 otherwise."""
        return torch.int64 if self.is_discrete else torch.float32

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the actions of a discrete space.

        Raises:
            UserError: if the space is not discrete.
        """
        if not self.is_discrete:
            raise UserError(
                f"this needs one choice among several actions; here an action is {', '.join(self.entries)}"
            )
        return self.choices[0].options

    @property
    def num_actions(self) -> int:
        """Number A of actions in a discrete space. Raises UserError if the space is not discrete."""
        return len(self.names)

    def problem(self, action: np.ndarray, batch_dims: int | None = None) -> str:
        """Describe what is wrong with actions; return "" if they are valid.

        Args:
            action: shape (..., ``*shape``).
            batch_dims: number of dimensions before ``*shape``; None: any. Without it, vectors pass as single numbers.
        """
        inner = action.ndim - len(self.shape) if batch_dims is None else batch_dims
        if action.shape[inner:] != self.shape:
            return f"expected {counted(self.size, 'number')} per action, got shape {action.shape}"
        entries = action.reshape(-1, self.size)
        for column, wrong in enumerate(self.outside(action).T):
            if wrong.any():
                low, high, whole = self._limits(column)
                kind = "a whole number " if whole else ""
                value = entries[:, column][wrong][0]
                return f"{self.entries[column]} is {value}; it must be {kind}in [{low:g}, {high:g}]"
        return ""

    def outside(self, action: np.ndarray) -> np.ndarray:
        """Mark the invalid entries of actions: N actions, shape (..., ``*shape``), to (N, D) bool."""
        entries = action.reshape(-1, self.size)
        wrong = np.empty(entries.shape, bool)
        for column, numbers in enumerate(entries.T):
            low, high, whole = self._limits(column)
            wrong[:, column] = ~((numbers >= low) & (numbers <= high))  # written so that NaN counts as wrong
            if whole:
                wrong[:, column] |= numbers != np.floor(numbers)
        return wrong

    def _limits(self, column: int) -> tuple[float, float, bool]:
        """The lowest and highest value of an entry, and whether it must be a whole number."""
        if column < len(self.choices):
            return 0, len(self.choices[column].options) - 1, True
        if column < len(self.choices) + len(self.buttons):
            return 0, 1, True
        axis = self.axes[column - len(self.choices) - len(self.buttons)]
        return axis.low, axis.high, False
