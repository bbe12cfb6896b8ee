"""Kinds of one thing: several dataclasses, of which a configuration holds one.

The suites of games are an example: each has fields of its own. The first field of every kind is its tag, a ``Literal``
of one name. A file and the command line choose a kind by its tag: ``--env.suite minatar``.

A closed set of kinds is a union of dataclasses. An open set, to which others may add their own, is a subclass of
:class:`Open`; its kinds are the dataclasses that were registered.
"""

from __future__ import annotations

import contextlib
import dataclasses
import types
from abc import ABC
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar, cast, get_args, get_type_hints

from adamas.core.errors import UserError

Config = TypeVar("Config")


class Open(ABC):
    """Base of an open set of kinds. Each direct subclass is such a set, and has a dictionary ``kinds`` of its own.

    Attributes:
        kinds: the registered dataclasses by their names, in the order of registration. The first one is meant where a
            file names none.
    """

    kinds: ClassVar[dict[str, type[Any]]]

    def __init_subclass__(cls) -> None:
        if Open in cls.__bases__:
            cls.kinds = {}


def register(*kinds: type[Open]) -> None:
    """Add dataclasses to the open sets of kinds that they are subclasses of.

    Raises:
        ValueError: another dataclass of the set has the same name.
    """
    for kind in kinds:
        name = _name(kind)
        if name is None:
            raise ValueError(f"{kind.__name__} has no tag: its first field must be a Literal of one name")
        if kind.kinds.setdefault(name, kind) is not kind:
            raise ValueError(f"{name!r} is already {kind.kinds[name].__name__}, it cannot be {kind.__name__}")


def first(base: type[Open]) -> Any:
    """The first registered kind of an open set, with its default values."""
    return next(iter(base.kinds.values()))()


def kinds_of(annotation: Any) -> dict[str, type]:
    """The dataclasses of a set of kinds by their names; empty if ``annotation`` is no such set.

    The tag of a dataclass is its first field, a ``Literal`` of one name.
    """
    kinds: dict[str, type] = {}
    members = [member for member in get_args(annotation) or (annotation,) if member is not types.NoneType]
    for member in members:
        if is_open(member):
            kinds |= member.kinds
        elif (name := _name(member)) is not None and len(members) > 1:
            kinds[name] = cast(type, member)
        else:
            return {}
    return kinds


def is_open(annotation: Any) -> bool:
    """Whether ``annotation`` is an open set of kinds itself."""
    return isinstance(annotation, type) and Open in annotation.__bases__


def _name(kind: Any) -> str | None:
    """The name in the tag of a dataclass; None if it has no tag."""
    if not dataclasses.is_dataclass(kind) or not dataclasses.fields(kind):
        return None
    names = get_args(get_type_hints(kind)[tag_of(kind)])
    return names[0] if len(names) == 1 else None


def tag_of(kind: Any) -> str:
    """The name of the field by which a dataclass says which kind it is."""
    return dataclasses.fields(kind)[0].name


def choose_kinds(config: Config, names: Mapping[str, str], where: str = "") -> Config:
    """``config`` with other kinds of its parts.

    A part that becomes another kind keeps the fields that both kinds have, where they differ from the old kind's
    default. Where the new kind refuses such a value, it has its own default. A part that is None becomes the named kind
    with its defaults, or the first kind if the names have a field of it without a kind.

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
    result = kind()
    for field in dataclasses.fields(old):
        value = getattr(old, field.name)
        if field.name in shared and value != _default(field):
            # Refused are, for example, the channels of a network with another number of layers.
            with contextlib.suppress(UserError):
                result = dataclasses.replace(result, **{field.name: value})
    return result


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
