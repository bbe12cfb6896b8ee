"""Dataclasses as the plain data of JSON files: ``dataclasses.asdict`` writes them, :func:`from_json` reads them."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from adamas.core.config import from_dict
from adamas.core.errors import UserError
from adamas.core.kinds import kinds_of

Value = TypeVar("Value")


def from_json(kind: type[Value], data: object, where: str = "") -> Value:
    """Build a value of the annotated type ``kind`` from the parsed content of a JSON file.

    Other versions may have written the file. Entries that a dataclass does not have are left out, and missing entries
    take the defaults of their fields. A union of the kinds of one thing (:mod:`adamas.core.kinds`) is read as a
    configuration, so that renamed keys are known.

    Args:
        kind: a dataclass, ``bool``, ``int``, ``float``, ``str``, ``Any`` or ``Literal``, or a ``list``, ``tuple``,
            ``dict`` or optional one of these.
        data: what ``json.loads`` returned.
        where: dotted key of ``data`` within the file, for error messages.

    Raises:
        ValueError: an entry is missing, or has the wrong type or length. The message names its key.
        OverflowError: a whole number is too large for a float.
    """
    return cast(Value, _read(kind, data, where))


def _read(kind: Any, data: Any, where: str) -> Any:
    if kind is Any:
        return data
    if dataclasses.is_dataclass(kind):
        return _read_dataclass(kind, data, where)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _read_union(kind, data, where)
    if origin is Literal:
        fits, value = data in arguments, data
    elif origin is dict or origin is Mapping:
        if fits := isinstance(data, dict):
            key_kind, value_kind = arguments
            value = {key_kind(key): _read(value_kind, item, f"{where}.{key}") for key, item in data.items()}
    elif origin in (list, tuple):
        if fits := isinstance(data, list):
            value = _read_items(origin, arguments, data, where)
    elif kind is float:
        if fits := type(data) in (int, float):  # not isinstance: True is an int
            value = float(data)
    else:
        fits, value = type(data) is kind, data
    if not fits:
        raise ValueError(f"{where or 'the content'} is {data!r:.40}")
    return value


def _read_dataclass(kind: Any, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise ValueError(f"{where or 'the content'} is {data!r:.40}")
    hints, values = get_type_hints(kind), {}
    for field in dataclasses.fields(kind):
        key = f"{where}.{field.name}" if where else field.name
        if field.name in data:
            values[field.name] = _read(hints[field.name], data[field.name], key)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ValueError(f"{key} is missing")
    try:
        return kind(**values)
    except UserError as error:
        raise ValueError(str(error)) from error


def _read_union(kind: Any, data: Any, where: str) -> Any:
    members = [member for member in get_args(kind) if member is not types.NoneType]
    if data is None and len(members) < len(get_args(kind)):
        return None
    if not kinds_of(kind):
        return _read(members[0], data, where)
    try:
        return from_dict(kind, data, where)
    except UserError as error:
        raise ValueError(str(error)) from error


def _read_items(origin: Any, kinds: tuple[Any, ...], data: list[Any], where: str) -> Any:
    if origin is list or kinds[1:] == (...,):
        kinds = kinds[:1] * len(data)
    if len(kinds) != len(data):
        raise ValueError(f"{where} has {len(data)} values instead of {len(kinds)}")
    return origin(
        _read(one, item, f"{where}[{i}]") for i, (one, item) in enumerate(zip(kinds, data, strict=True))
    )
