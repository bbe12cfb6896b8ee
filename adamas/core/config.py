"""Configurations: frozen dataclasses, plain dictionaries and YAML files, converted strictly.

A field may be a ``bool``, ``int``, ``float``, ``str``, ``Literal``, another dataclass, a set of kinds
(:mod:`adamas.core.kinds`), a ``tuple`` of these (a list in YAML), or any of them ``| None``. A value that does not fit
its field exactly is refused with a :class:`~adamas.core.errors.UserError` that names the key.
"""

from __future__ import annotations

import dataclasses
import math
import re
import reprlib
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from adamas.core.errors import UserError, nearest
from adamas.core.files import read_file, write_file
from adamas.core.kinds import is_open, kinds_of, tag_of

Config = TypeVar("Config")

ABSENT = "(absent)"
"""Stands in the result of :func:`diff` for a key that one side does not have."""

_YAML_FLOAT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
_LARGEST_EXACT_INT = 2**53  # float64 cannot represent every integer beyond this
_INT_LIMIT, _SEED_LIMIT = 2**31, 2**63  # the limits of the libraries that take these numbers
_MAX_BYTES = 2**20  # size limit of a YAML file; parsing takes seconds per megabyte
_short = reprlib.Repr()  # shortens values from files, which can be huge (YAML references multiply their size)
_short.maxstring = _short.maxother = _short.maxlong = 60


def to_dict(config: Any) -> dict[str, Any]:
    """Convert a dataclass to nested plain dictionaries and lists, ready for YAML. Inverse of :func:`from_dict`."""
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
    """Build the dataclass ``cls`` from plain values. Keys that are missing in ``data`` take their defaults.

    A dataclass whose keys were renamed has a class method ``upgrade``, which turns a mapping with the old keys into one
    with today's.

    Args:
        cls: the dataclass to build.
        data: nested plain values, as :func:`to_dict` makes them.
        where: dotted key of ``data`` within the whole configuration, for error messages.

    Raises:
        UserError: for an unknown key, a missing key without a default, a value of the wrong type, a value that
            would lose information (3.5 for an int), and anything that ``cls`` itself refuses.
    """
    if not isinstance(data, Mapping):
        raise _mismatch(where, "a mapping (key: value)", data)
    if not dataclasses.is_dataclass(cls):
        return _convert(cls, data, where)
    if upgrade := getattr(cls, "upgrade", None):
        data = upgrade(data)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in data:
        if key not in fields:
            name = key if isinstance(key, str) else _shown(key)
            hint = nearest(name, fields)
            raise UserError(f"unknown configuration key {_shown(_join(where, name))}; {hint}")
    annotations = get_type_hints(cls)
    values = {}
    for name, field in fields.items():
        if name in data:
            values[name] = _convert(annotations[name], data[name], _join(where, name))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise UserError(f"configuration key {_join(where, name)!r} is missing and has no default; add it")
    return cls(**values)


def _convert(kind: Any, value: Any, where: str) -> Any:
    """Convert ``value`` to the annotation ``kind``."""
    kind = _kind_of(kinds_of(kind), value, where) if is_open(kind) else kind
    if dataclasses.is_dataclass(kind):
        return from_dict(kind, value, where)  # type: ignore[arg-type]
    if kind is float:
        return _to_float(value, where)
    if kind in (bool, int, str):
        if type(value) is not kind:  # not isinstance: True is an int
            raise _mismatch(where, kind.__name__, value)
        _check_number(value, where)
        return value
    if get_origin(kind) is Literal:
        return _to_choice(get_args(kind), value, where)
    if get_origin(kind) is tuple:
        return _to_tuple(get_args(kind), value, where)
    if get_origin(kind) in (Union, types.UnionType):
        members = [member for member in get_args(kind) if member is not types.NoneType]
        if value is None and len(members) < len(get_args(kind)):
            return None
        if len(members) == 1:
            return _convert(members[0], value, where)
        if kinds := kinds_of(kind):
            return _convert(_kind_of(kinds, value, where), value, where)
    raise TypeError(f"configuration key {where!r} has the unsupported type {kind}")


def _kind_of(kinds: Mapping[str, type], value: Any, where: str) -> type:
    """The kind that a mapping names by its tag; the first one if it has no tag."""
    if not isinstance(value, Mapping):
        raise _mismatch(where, "a mapping (key: value)", value)
    first, kind = next(iter(kinds.items()))
    tag = tag_of(kind)
    return kinds[_to_choice(tuple(kinds), value.get(tag, first), _join(where, tag))]


def _to_float(value: Any, where: str) -> float:
    # YAML 1.1 requires a dot and a signed exponent in floats, so it reads 1e-4 as a string.
    if isinstance(value, str) and _YAML_FLOAT.fullmatch(value):
        return float(value)
    exact_int = type(value) is int and abs(value) <= _LARGEST_EXACT_INT
    if type(value) is float or exact_int:
        _check_number(float(value), where)
        return float(value)
    raise _mismatch(where, "float", value)


def _to_choice(choices: tuple[Any, ...], value: Any, where: str) -> Any:
    if any(value == choice and type(value) is type(choice) for choice in choices):
        return value
    shown = _shown(value)
    hint = nearest(value if isinstance(value, str) else shown, map(str, choices))
    raise UserError(f"configuration key {where!r} cannot be {shown}; {hint}")


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
    return UserError(f"{subject} must be {expected}, got {_shown(value)} ({type(value).__name__})")


def _shown(value: Any) -> str:
    """The ``repr`` of a value, shortened if it is long."""
    if isinstance(value, int) and abs(value) >= _SEED_LIMIT:
        return "a huge whole number"  # Python refuses to convert very long integers to decimal
    return _short.repr(value)


def check_numbers(config: Any, where: str = "") -> None:
    """Check the numbers anywhere in a dataclass: no NaN, and whole numbers in [-2^31, 2^31).

    Seeds may be as large as 2^63 - 1.

    Args:
        config: a dataclass, or part of one.
        where: dotted key of ``config``, for error messages.

    Raises:
        UserError: for the first number that is out of range; the message names its key.
    """
    if dataclasses.is_dataclass(config):
        for field in dataclasses.fields(config):
            check_numbers(getattr(config, field.name), _join(where, field.name))
    elif isinstance(config, tuple):
        for i, item in enumerate(config):
            check_numbers(item, f"{where}[{i}]")
    else:
        _check_number(config, where)


def _check_number(value: Any, where: str) -> None:
    if isinstance(value, float) and math.isnan(value):
        raise UserError(f"`{where}` is nan, which is no number; give a number")
    limit = _SEED_LIMIT if where.endswith("seed") else _INT_LIMIT
    if isinstance(value, int) and not -limit <= value < limit:
        raise UserError(f"`{where}` is {_shown(value)}; it must be below {limit} and at least -{limit}")


def _join(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)


def save_config(path: Path, config: Any) -> None:
    """Write a dataclass as YAML. The write is atomic.

    Raises:
        UserError: if the file cannot be written.
    """
    try:
        write_file(path, to_yaml(to_dict(config)))
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror}; check the folder and its free space"
        ) from error


def to_yaml(data: Mapping[str, Any]) -> str:
    """Plain values as YAML text, from which :func:`read_yaml` reads the same values."""
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    if any(line_break in text for line_break in "\x85\u2028\u2029"):
        # PyYAML would write these characters unescaped, and read a space in their place.
        text = yaml.safe_dump(data, sort_keys=False)
    return text


def load_config(path: Path, cls: type[Config]) -> Config:
    """Read a dataclass from a YAML file, with the checks of :func:`from_dict`.

    Raises:
        UserError: if the file is not valid YAML or does not fit ``cls``. The message names the file and line or key.
    """
    data = read_yaml(path)
    try:
        return from_dict(cls, data)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def read_yaml(path: Path) -> Any:
    """Read the plain values in a YAML file of at most one megabyte.

    Raises:
        UserError: if the file cannot be read or is not valid YAML. The message names the file and the line.
    """
    try:
        content = read_file(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; check the path") from error
    if len(content) > _MAX_BYTES:
        raise UserError(f"{path} has {len(content):,} bytes, too many for a configuration; restore it")
    try:
        return yaml.safe_load(content)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{path}{line}: not valid YAML: {error.problem}; correct it there") from error
    except yaml.reader.ReaderError as error:  # bytes that are not text
        raise UserError(f"{path}: not a text file: {error.reason}; restore it or write a new one") from error
    except RecursionError as error:
        raise UserError(f"{path}: not valid YAML: its brackets are nested too deep; correct it") from error
    except Exception as error:  # PyYAML passes on what parsing dates and numbers raises, as for 2001-99-99
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: not valid YAML: {reason}; correct it") from error


def read_run_values(path: Path) -> Any:
    """Read the plain values of a run's configuration from the ``config.yaml`` of a run or of a checkpoint.

    That of a checkpoint holds the agent's configuration beside the run's.

    Raises:
        UserError: as :func:`read_yaml`.
    """
    data = read_yaml(path)
    return data["run"] if isinstance(data, dict) and "run" in data else data


def with_value(config: Config, key: str, value: Any) -> Config:
    """Copy a dataclass, with ``value`` in the field that has the dotted ``key``, such as ``"optim.lr"``."""
    name, _, rest = key.partition(".")
    new = with_value(getattr(config, name), rest, value) if rest else value
    return dataclasses.replace(config, **{name: new})  # type: ignore[type-var]


def diff(a: Any, b: Any) -> dict[str, tuple[Any, Any]]:
    """Find the dotted keys in which two configurations differ, each with its value in ``a`` and in ``b``.

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
