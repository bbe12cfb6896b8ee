"""Conversion between Gymnasium's action spaces and :class:`~adamas.core.actions.ActionSpec`, and of actions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space, Tuple

from adamas.core.actions import ActionSpec, Axis, Choice
from adamas.core.errors import UserError

MOST_OPTIONS = 10_000  # per choice, because each option becomes a row of weights
FARTHEST = 1e9  # an axis with larger limits counts as unbounded


def action_spec(space: Space[Any]) -> ActionSpec:
    """Convert an action space: any nesting of Discrete, MultiDiscrete, MultiBinary and bounded Box.

    Raises:
        UserError: if it contains any other space.
    """
    choices: list[Choice] = []
    buttons: list[str] = []
    axes: list[Axis] = []
    for path, leaf in _leaves(space, ""):
        if isinstance(leaf, Discrete):
            choices.append(_choice(int(leaf.n), path or "action"))
        elif isinstance(leaf, MultiDiscrete):
            sizes = leaf.nvec.flatten().tolist()
            choices.extend(_choice(n, _part(path, i)) for i, n in enumerate(sizes))
        elif isinstance(leaf, MultiBinary):
            buttons.extend(_part(path, i) for i in range(int(np.prod(leaf.shape))))
        elif isinstance(leaf, Box) and (np.abs([leaf.low, leaf.high]) <= FARTHEST).all():
            ends = zip(leaf.low.flatten().tolist(), leaf.high.flatten().tolist(), strict=True)
            axes.extend(Axis(_part(path, i), low, high) for i, (low, high) in enumerate(ends))
        else:
            raise UserError(
                f"the action space {leaf} is not supported; wrap the environment so that its actions are discrete, "
                "binary or bounded"
            )
    return ActionSpec(tuple(choices), tuple(buttons), tuple(axes))


def to_space(space: Space[Any], spec: ActionSpec, action: np.ndarray) -> Any:
    """Convert one action, () or (D,), to an element of ``space``."""
    entries = action.reshape(-1)
    ends = np.cumsum([len(spec.choices), len(spec.buttons)])
    return _take(space, *map(iter, np.split(entries, ends)))


def space_of(spec: ActionSpec) -> Space[Any]:
    """Make the Gymnasium space of ``spec``: Discrete if it is discrete, otherwise by its parts.

    Choices become a MultiDiscrete, buttons a MultiBinary and axes a Box. Several of them become a Dict of "choices",
    "buttons" and "axes".
    """
    if spec.is_discrete:
        return Discrete(spec.num_actions)
    parts: dict[str, Space[Any]] = {}
    if spec.choices:
        parts["choices"] = MultiDiscrete([len(choice.options) for choice in spec.choices])
    if spec.buttons:
        parts["buttons"] = MultiBinary(len(spec.buttons))
    if spec.axes:
        low, high = np.array([(axis.low, axis.high) for axis in spec.axes], np.float32).T
        parts["axes"] = Box(low, high)
    return Dict(parts) if len(parts) > 1 else next(iter(parts.values()))


def from_space(spec: ActionSpec, action: Any) -> np.ndarray:
    """Convert one action or a batch, elements of :func:`space_of`, to (..., ``*spec.shape``). Does not check ranges.

    Raises:
        ValueError: if a dict of parts is needed, and ``action`` is not one or lacks a part.
    """
    if spec.is_discrete:
        return np.asarray(action)
    expected = [
        part for part in ("choices", "buttons", "axes") if getattr(spec, part)
    ]  # in the order of entries
    if len(expected) == 1:
        return np.asarray(action, np.float32)
    if not isinstance(action, Mapping) or set(action) != set(expected):
        raise ValueError(f"expected a dict of {' and '.join(expected)}, got {action}")
    return np.concatenate([np.asarray(action[part], np.float32) for part in expected], axis=-1)


def _take(space: Space[Any], choices: Iterator[Any], buttons: Iterator[Any], axes: Iterator[Any]) -> Any:
    """Build an element of ``space`` from the next entries, in the order in which :func:`action_spec` found them."""
    if isinstance(space, Dict):
        return {name: _take(inner, choices, buttons, axes) for name, inner in space.spaces.items()}
    if isinstance(space, Tuple):
        return tuple(_take(inner, choices, buttons, axes) for inner in space.spaces)
    if isinstance(space, Discrete):
        return int(space.start) + int(next(choices))
    kind = axes if isinstance(space, Box) else buttons if isinstance(space, MultiBinary) else choices
    assert space.shape is not None
    values = [next(kind) for _ in range(int(np.prod(space.shape)))]
    array = np.array(values).reshape(space.shape)
    if isinstance(space, MultiDiscrete):
        array = array + space.start
    if isinstance(space, Box):  # float32 may have rounded a limit outwards
        array = array.clip(space.low, space.high)
        if np.issubdtype(space.dtype, np.integer):
            array = np.rint(array)
    return array.astype(space.dtype)


def _leaves(space: Space[Any], path: str) -> Iterator[tuple[str, Space[Any]]]:
    """Find the spaces in a nesting that are not Dict or Tuple, each with its path, such as "arm/0"."""
    if isinstance(space, Dict | Tuple):
        inner = space.spaces.items() if isinstance(space, Dict) else enumerate(space.spaces)
        for name, part in inner:
            yield from _leaves(part, f"{path}/{name}".removeprefix("/"))
    else:
        yield path, space


def _part(path: str, i: int) -> str:
    return f"{path}/{i}".removeprefix("/")


def _choice(count: int, name: str) -> Choice:
    if count > MOST_OPTIONS:
        raise UserError(
            f"{name} is a choice of {count:,}; at most {MOST_OPTIONS:,} are supported; wrap the environment "
            "so that its actions are made of several smaller choices"
        )
    return Choice(tuple(map(str, range(count))), name)
