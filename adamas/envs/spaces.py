"""Gymnasium's action spaces as choices, buttons and axes and back, and actions in either form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space, Tuple

from adamas.core.actions import ActionSpec, Axis, Choice
from adamas.core.errors import UserError

MOST_OPTIONS = 10_000  # of one choice; each becomes a row of weights
FARTHEST = 1e9  # an axis to beyond this is not bounded, whatever its space says


def action_spec(space: Space[Any]) -> ActionSpec:
    """What an agent may do in ``space``: any nesting of Discrete, MultiDiscrete, MultiBinary and bounded Box.

    Raises:
        UserError: there is something else in it.
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
    """One action, () or (K,), as ``space`` wants it."""
    entries = action.reshape(-1)
    ends = np.cumsum([len(spec.choices), len(spec.buttons)])
    return _take(space, *map(iter, np.split(entries, ends)))


def space_of(spec: ActionSpec) -> Space[Any]:
    """The space of the actions of ``spec``.

    Discrete, MultiDiscrete, MultiBinary or Box where there are only such parts, else a Dict of "choices", "buttons" and
    "axes".
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
    """Actions of :func:`space_of`, one or a batch, as (..., ``*spec.shape``) numbers; they may still be out of range.

    Raises:
        ValueError: a dict that lacks a part, or something that is no dict where one is needed.
    """
    if spec.is_discrete:
        return np.asarray(action)
    expected = [part for part in ("choices", "buttons", "axes") if getattr(spec, part)]  # as entries stand
    if len(expected) == 1:
        return np.asarray(action, np.float32)
    if not isinstance(action, Mapping) or set(action) != set(expected):
        raise ValueError(f"expected a dict of {' and '.join(expected)}, got {action}")
    return np.concatenate([np.asarray(action[part], np.float32) for part in expected], axis=-1)


def _take(space: Space[Any], choices: Iterator[Any], buttons: Iterator[Any], axes: Iterator[Any]) -> Any:
    """The next parts, in the order in which :func:`action_spec` found them."""
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
    if isinstance(space, Box):  # float32 may round an end outwards
        array = array.clip(space.low, space.high)
        if np.issubdtype(space.dtype, np.integer):
            array = np.rint(array)
    return array.astype(space.dtype)


def _leaves(space: Space[Any], path: str) -> Iterator[tuple[str, Space[Any]]]:
    """The spaces that are not made of others, each with its place: "arm/0"."""
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
