"""Command-line arguments as a dataclass, with one-line errors."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import partial
from typing import Any, TypeVar, cast, get_type_hints

import tyro
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructFieldSpec, StructTypeInfo

from adamas.core.config import check_numbers
from adamas.core.errors import UserError
from adamas.core.kinds import Open, choose_kinds, is_open, tag_of
from adamas.core.options import field_help, flat_parts

Options = TypeVar("Options")


def parse(
    options: type[Options], arguments: Sequence[str], command: str, default: Options | None = None
) -> Options:
    """Command-line arguments as a dataclass. ``--help`` prints all options and raises SystemExit.

    Args:
        options: the dataclass.
        arguments: the words after the command.
        command: the command that was called, such as ``"train debug"``.
        default: values of options that are not given; ``tyro.MISSING`` where the user must give a value.

    Raises:
        UserError: the arguments do not fit, or a number is out of range (see
            :func:`~adamas.core.config.check_numbers`).
    """
    if default is not None:
        values = option_values(arguments)
        # The fields of a part called config are options without a prefix.
        default = choose_kinds(default, values | {f"config.{key}": value for key, value in values.items()})
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed), _registry:
            parsed = tyro.cli(
                options,
                args=list(arguments),
                prog=f"adamas {command}",
                default=default,
                # A part that is None has no options: the preset decides whether the part exists.
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.AvoidSubcommands),
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UserError(f"{_gist(printed.getvalue())} (adamas {command} --help lists the options)") from None
    for field in fields(cast(Any, options)):
        check_numbers(getattr(parsed, field.name), "" if field.name in flat_parts(options) else field.name)
    return cast(Options, parsed)


def option_values(arguments: Sequence[str]) -> dict[str, str]:
    """The values of options as they stand in ``arguments``, by dotted keys: ``--env.suite minatar``."""
    values = {}
    for word, following in zip(arguments, [*arguments[1:], ""], strict=False):
        option, equals, value = word.partition("=")
        if option.startswith("--"):
            values[option[2:].replace("-", "_")] = value if equals else following
    return values


_registry = ConstructorRegistry()


@_registry.struct_rule
def _with_joined_help(info: StructTypeInfo) -> StructConstructorSpec | None:
    """A dataclass as ``tyro`` reads it, but without the line breaks of the source in its help."""
    if not is_dataclass(info.type):
        return None
    hints = get_type_hints(info.type, include_extras=True)
    return StructConstructorSpec(
        info.type,
        tuple(
            StructFieldSpec(
                field.name,
                hints[field.name],
                _default(field, info.default),
                partial(_help, info.type, field.name),
            )
            for field in fields(info.type)
        ),
    )


def _help(owner: type, name: str) -> str:
    """The help of a field; of a tag in an open set of kinds, with the names of the other kinds."""
    text = field_help(owner, name) or ""
    base = next(filter(is_open, owner.__mro__), None)
    if base is None or name != tag_of(owner):
        return text
    others = [kind for kind, registered in cast(type[Open], base).kinds.items() if registered is not owner]
    if not others:
        return text
    return f"{text} Other kinds: {', '.join(others)}. --help shows the options of the kind that is chosen."


def _default(field: Field[Any], parent: Any) -> Any:
    """The value of a field whose option is not given."""
    if parent is tyro.MISSING:
        return tyro.MISSING
    if hasattr(parent, field.name):
        return getattr(parent, field.name)
    if field.default is not MISSING:
        return field.default
    return tyro.MISSING_NONPROP if field.default_factory is MISSING else field.default_factory()


def _gist(box: str) -> str:
    """One line for what ``tyro`` prints in a box.

    The box has a title. It is coloured on a terminal, and has no sides elsewhere.
    """
    plain = re.sub(r"\x1b\[[\d;]*m", "", box)
    lines = [line.strip("│ ") for line in plain.splitlines()[1:]]
    text = " ".join(line for line in lines if line.strip("─-╰╯"))
    if found := re.match(r"Missing from .*?: (--.*?)\s*\(required\)", text):
        option, _, meaning = re.sub(r" ?\(required\)", "", found[1]).partition(" ")
        kind, _, meaning = meaning.partition(" ")
        return f"{option} {kind} is missing. {meaning}".strip()
    if found := re.match(r"Missing value for argument '(.+?)'", text):
        return f"{found[1]} needs a value"
    if found := re.match(
        r"Error parsing (\S+): invalid literal for int\(\) with base 10: (.+?) Argument ", text
    ):
        return f"{found[1]} is {found[2]}; it must be a whole number"
    if found := re.match(r"Error parsing (\S+): could not convert string to float: (.+?) Argument ", text):
        return f"{found[1]} is {found[2]}; it must be a number"
    if found := re.match(
        r"Error parsing (\S+): no type matching (.+?) could be instantiated from \[(.*?)\]\.", text
    ):
        kind = found[2].replace("{None}", "None").replace("|", " or ")
        return f"{found[1]} is {found[3].replace(', ', ' ')}; it must be {kind}"
    if found := re.match(r"invalid choice (.+?) for argument '(.+?)'\. Expected one of \((.*?),?\)", text):
        return f"{found[2]} is {found[1]}; choose from {found[3]}".replace("'", "")
    if found := re.match(
        r"Unrecognized options: (.+?)(?:,? Perhaps you meant: (--\S+).*| For full helptext.*)?$", text
    ):
        first = found[1].split(",")[0]
        what = "there is no option" if first.startswith("-") else "one argument too many:"
        return f"{what} {first}" + (f"; did you mean {found[2]}?" if found[2] else "")
    return text.partition(" For full helptext")[0] or "the options do not fit"
