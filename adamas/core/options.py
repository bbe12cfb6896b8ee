"""The options of a command, listed from the dataclass that describes them."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import re
import textwrap
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import tyro

from adamas.core.kinds import kinds_of

HELP = ("-h", "--help")


@dataclass(frozen=True)
class Option:
    """An option on the command line.

    Attributes:
        field: its dotted name in the dataclass, such as ``env.frame_skip``.
        help: what it means, in one line; "" if its field has no docstring.
        num_values: how many words follow it; None for any number.
    """

    field: str
    help: str
    num_values: int | None

    @property
    def flag(self) -> str:
        """What is typed, such as ``--env.frame-skip``."""
        return "--" + self.field.replace("_", "-")


def field_help(cls: type, name: str) -> str | None:
    """The docstring of a dataclass's field as one paragraph; None if there is none.

    The nearest class that documents the field counts, where a subclass only changes its default.
    """
    documented = (_own_field_help(base) for base in cls.__mro__ if is_dataclass(base))
    return next((help[name] for help in documented if name in help), None)


@functools.cache  # A class has up to thirty fields, and reading its source takes milliseconds.
def _own_field_help(cls: type) -> dict[str, str]:
    """The docstrings of the fields that a dataclass itself defines, by their names, each as one paragraph."""
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0].body  # type: ignore[attr-defined]
    return {
        statement.target.id: " ".join(ast.literal_eval(following.value).split())
        for statement, following in itertools.pairwise(body)
        if isinstance(statement, ast.AnnAssign)
        and isinstance(statement.target, ast.Name)
        and isinstance(following, ast.Expr)
    }


def options_of(cls: type, prefix: str = "", switches: bool = True) -> Iterator[Option]:
    """All options that a dataclass has on the command line, those of optional parts included.

    Args:
        cls: the dataclass; see :func:`adamas.core.arguments.parse`.
        prefix: what comes before the names, with a dot at its end.
        switches: whether a truth value is an option without a value, instead of one that takes True or False.
    """
    hints = get_type_hints(cls, include_extras=True)
    for field in fields(cls):
        kind, marks = hints[field.name], list[Any]()
        if get_origin(kind) is Annotated:
            kind, *marks = get_args(kind)
        if tyro.conf.Positional in marks:
            continue
        alternatives = [kind]
        if get_origin(kind) in (Union, types.UnionType):
            alternatives = [member for member in get_args(kind) if member is not types.NoneType]
        alternatives = [one for member in alternatives for one in kinds_of(member).values() or (member,)]
        parts = [member for member in alternatives if is_dataclass(member)]
        as_switches = switches and tyro.conf.FlagConversionOff not in marks
        for part in parts:
            inner = prefix if field.name in flat_parts(cls) else f"{prefix}{field.name}."
            yield from options_of(part, inner, as_switches)  # type: ignore[arg-type]
        if not parts:
            text = field_help(cls, field.name) or ""
            yield Option(prefix + field.name, text, _num_values(alternatives[0], as_switches))


def flat_parts(cls: type) -> set[str]:
    """The names of the fields of a dataclass whose own fields are options without a prefix."""
    hints = get_type_hints(cls, include_extras=True)
    marks = {field.name: getattr(hints[field.name], "__metadata__", ()) for field in fields(cls)}
    return {name for name, given in marks.items() if any(getattr(mark, "name", None) == "" for mark in given)}


def _num_values(kind: Any, switches: bool) -> int | None:
    if get_origin(kind) is tuple:
        return None if Ellipsis in get_args(kind) else len(get_args(kind))
    return 0 if kind is bool and switches else 1


@functools.cache
def all_options(cls: type) -> tuple[Option, ...]:
    """The same as :func:`options_of`, remembered: docstrings are parsed, which takes a moment."""
    return tuple(options_of(cls))


def flags_of(cls: type) -> dict[str, str]:
    """The options of a dataclass on the command line by field, such as ``{"env.game": "--env.game"}``."""
    return {option.field: option.flag for option in all_options(cls)}


def positionals_first(cls: type, arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split a command line into its positional arguments and its options, each in the order given.

    What follows ``--`` stays with the options. An option that takes any number of values takes all words up to the next
    option.

    Args:
        cls: the dataclass of the options.
        arguments: the command line, without the command.
    """
    num_values = {option.flag: option.num_values for option in all_options(cls)}
    words, positionals, options = list(arguments), list[str](), list[str]()
    while words:
        word = words.pop(0)
        if word == "--":
            return positionals, [*options, word, *words]
        if not _is_option(word):
            positionals.append(word)
            continue
        options.append(word)
        name, equals, _ = word.partition("=")
        count = 0 if equals or word in HELP else num_values.get(name.replace("_", "-"), 1)
        while words and not _is_option(words[0]) and (count is None or count > 0):
            options.append(words.pop(0))
            count = None if count is None else count - 1
    return positionals, options


def _is_option(word: str) -> bool:
    """Whether a word begins an option; a negative number is a value."""
    return word.startswith("-") and not re.match(r"-\.?\d", word) and word not in ("-", "-inf", "-nan")
