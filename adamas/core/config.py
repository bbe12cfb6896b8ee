"""Configurations: frozen dataclasses, plain dictionaries and YAML files, converted strictly.

A field may be a ``bool``, ``int``, ``float``, ``str``, ``Literal``, another dataclass, a ``tuple`` of these
(a list in YAML), or any of them ``| None``. Whatever does not fit its field exactly is refused with a
:class:`~adamas.core.errors.UserError` that names the key: a configuration is never half understood.
"""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from adamas.core.errors import UserError, nearest
from adamas.core.files import write_file

Config = TypeVar("Config")

ABSENT = "(absent)"
"""What :func:`diff` shows for a key that one side does not have."""

_YAML_FLOAT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
_LARGEST_EXACT_INT = 2**53  # beyond it a float64 skips integers


def to_dict(config: Any) -> dict[str, Any]:
    """A dataclass as nested plain dictionaries and lists, ready for YAML. Inverse of :func:`from_dict`."""
    return {field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{value!r} cannot be part of a configuration")


def from_dict(cls: type[Config], data: Mapping[str, Any], where: str = "") -> Config:
    """Build the dataclass ``cls`` from plain values; keys that ``data`` leaves out take their defaults.

    Args:
        cls: the dataclass to build.
        data: nested plain values, as :func:`to_dict` makes them.
        where: dotted key of ``data`` within the whole configuration, for error messages.

    Raises:
        UserError: for an unknown key, a missing key without default, a value of the wrong type or one that
            would lose information (3.5 for an int), and whatever ``cls`` itself refuses when it is built.
    """
    if not isinstance(data, Mapping):
        raise _mismatch(where, "a mapping (key: value)", data)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in data:
        if key not in fields:
            hint = nearest(str(key), fields)
            raise UserError(f"unknown configuration key {_join(where, key)!r}; {hint}")
    annotations = get_type_hints(cls)
    values = {}
    for name, field in fields.items():
        if name in data:
            values[name] = _convert(annotations[name], data[name], _join(where, name))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise UserError(f"configuration key {_join(where, name)!r} is missing and has no default; add it")
    return cls(**values)


def _convert(kind: Any, value: Any, where: str) -> Any:
    """``value`` as the annotation ``kind`` wants it."""
    if dataclasses.is_dataclass(kind):
        return from_dict(kind, value, where)  # type: ignore[arg-type]
    if kind is float:
        return _to_float(value, where)
    if kind in (bool, int, str):
        if type(value) is not kind:  # not isinstance: True is an int
            raise _mismatch(where, kind.__name__, value)
        return value
    if get_origin(kind) is Literal:
        return _to_choice(get_args(kind), value, where)
    if get_origin(kind) is tuple:
        return _to_tuple(get_args(kind), value, where)
    if get_origin(kind) in (Union, types.UnionType):
        members = [member for member in get_args(kind) if member is not types.NoneType]
        if len(members) == 1:
            return None if value is None else _convert(members[0], value, where)
    raise TypeError(f"configuration key {where!r} has the unsupported type {kind}")


def _to_float(value: Any, where: str) -> float:
    # YAML 1.1 wants a dot and a sign in the exponent, so it reads the everyday 1e-4 as a string.
    if isinstance(value, str) and _YAML_FLOAT.fullmatch(value):
        return float(value)
    exact_int = type(value) is int and abs(value) <= _LARGEST_EXACT_INT
    if type(value) is float or exact_int:
        return float(value)
    raise _mismatch(where, "float", value)


def _to_choice(choices: tuple[Any, ...], value: Any, where: str) -> Any:
    if any(value == choice and type(value) is type(choice) for choice in choices):
        return value
    hint = nearest(str(value), map(str, choices))
    raise UserError(f"configuration key {where!r} cannot be {value!r}; {hint}")


def _to_tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _mismatch(where, "a list", value)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(kinds) != len(value):
        raise _mismatch(where, f"a list of {len(kinds)} values", value)
    return tuple(_convert(k, v, f"{where}[{i}]") for i, (k, v) in enumerate(zip(kinds, value, strict=True)))


def _mismatch(where: str, expected: str, value: Any) -> UserError:
    subject = f"configuration key {where!r}" if where else "the configuration"
    return UserError(f"{subject} must be {expected}, got {value!r} ({type(value).__name__})")


def _join(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)


def save_config(path: Path, config: Any) -> None:
    """Write a dataclass as YAML, whole or not at all.

    Raises:
        UserError: if the file cannot be written.
    """
    try:
        write_file(path, yaml.safe_dump(to_dict(config), sort_keys=False, allow_unicode=True))
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror}; check the folder and its free space"
        ) from error


def load_config(path: Path, cls: type[Config]) -> Config:
    """Read a dataclass from YAML, as strictly as :func:`from_dict`.

    Raises:
        UserError: naming the file, and the line if it is not YAML or the key if that does not fit.
    """
    try:
        return from_dict(cls, yaml.safe_load(path.read_bytes()))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; check the path") from error
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{path}{line}: not valid YAML: {error.problem}; correct it there") from error
    except yaml.reader.ReaderError as error:  # bytes that are not text
        raise UserError(f"{path}: not a text file: {error.reason}; restore it or write it anew") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def with_value(config: Config, key: str, value: Any) -> Config:
    """A copy of a dataclass in which the field with the dotted ``key``, such as ``"optim.lr"``, is ``value``."""
    name, _, rest = key.partition(".")
    new = with_value(getattr(config, name), rest, value) if rest else value
    return dataclasses.replace(config, **{name: new})  # type: ignore[type-var]


def diff(a: Any, b: Any) -> dict[str, tuple[Any, Any]]:
    """The dotted keys in which two configurations differ, each with its value in ``a`` and in ``b``.

    Args:
        a: a dataclass or its dictionary, as :func:`to_dict` makes it.
        b: the same.

    Returns:
        For example ``{"optim.lr": (0.001, 0.0001)}``; :data:`ABSENT` stands for a key that one side lacks.
    """
    a, b = (to_dict(side) if dataclasses.is_dataclass(side) else side for side in (a, b))
    differing = {}
    for key in dict.fromkeys([*a, *b]):
        left, right = a.get(key, ABSENT), b.get(key, ABSENT)
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            differing.update({f"{key}.{rest}": pair for rest, pair in diff(left, right).items()})
        elif left != right:
            differing[key] = (left, right)
    return differing
