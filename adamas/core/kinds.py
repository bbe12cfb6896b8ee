"""Kinds of one thing: a union of dataclasses, of which a configuration holds one.

The suites of games are an example: each has fields of its own. The first field of every kind is its tag, a ``Literal``
of one name. A file and the command line choose a kind by its tag: ``--env.suite minatar``.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, TypeVar, cast, get_args, get_type_hints

from adamas.core.errors import UserError

Config = TypeVar("Config")


def kinds_of(annotation: Any) -> dict[str, type]:
    """The dataclasses of a tagged union by their names; empty if ``annotation`` is no such union.

    The tag of a dataclass is its first field, a ``Literal`` of one name.
    """
    kinds: dict[str, type] = {}
    for member in get_args(annotation):
        if member is types.NoneType:
            continue
        if not dataclasses.is_dataclass(member) or not dataclasses.fields(member):
            return {}
        names = get_args(get_type_hints(member)[tag_of(member)])
        if len(names) != 1:
            return {}
        kinds[names[0]] = cast(type, member)
    return kinds if len(kinds) > 1 else {}


def tag_of(kind: Any) -> str:
    """The name of the field by which a dataclass says which kind it is."""
    return dataclasses.fields(kind)[0].name


def choose_kinds(config: Config, names: Mapping[str, str], where: str = "") -> Config:
    """``config`` with other kinds of its parts.

    A part that becomes another kind keeps the fields that both kinds have, where they differ from the old kind's
    default. A part that is None becomes the named kind with its defaults, or the first kind if the names have a field
    of it without a kind.

    Args:
        config: a dataclass.
        names: the names of kinds by the dotted keys of their tags, such as ``{"env.suite": "minatar"}``. Other keys
            make a part that is None, and are ignored otherwise.
        where: dotted key of ``config`` within the whole configuration.

    Raises:
        UserError: no kind has that name.
    """
    changes = {}
    annotations = get_type_hints(type(config))
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        value, key = getattr(config, field.name), f"{where}.{field.name}" if where else field.name
        if kinds := kinds_of(annotations[field.name]):
            tag = tag_of(next(iter(kinds.values())))
            name = names.get(f"{key}.{tag}")
            if name is None and value is None and any(other.startswith(f"{key}.") for other in names):
                name = next(iter(kinds))
            if name is not None:
                if name not in kinds:
                    shown = f"{key}.{tag}".removeprefix("config.")
                    raise UserError(f"`{shown}` is {name}; choose from {', '.join(kinds)}")
                value = _as_kind(kinds[name], value)
        if dataclasses.is_dataclass(value):
            value = choose_kinds(value, names, key)
        if value is not getattr(config, field.name):
            changes[field.name] = value
    return dataclasses.replace(config, **changes) if changes else config  # type: ignore[type-var]


def _as_kind(kind: type, old: Any) -> Any:
    """``old`` as another kind of the same thing."""
    if type(old) is kind:
        return old
    if old is None:
        return kind()
    shared = {field.name for field in dataclasses.fields(kind)} - {tag_of(kind)}
    chosen = {}
    for field in dataclasses.fields(old):
        value = getattr(old, field.name)
        if field.name in shared and value != _default(field):
            chosen[field.name] = value
    return kind(**chosen)


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
