"""Help: the list of commands, and what one command does and takes."""

from __future__ import annotations

import contextlib
import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

from adamas.core.arguments import parse
from adamas.core.errors import UserError
from adamas.core.options import HELP, options_of
from adamas.interop.hub import is_address

NOTES = """RUN is the folder of a run or of one of its checkpoints, a published .pt file, or an agent
on the Hugging Face hub: hf://OWNER/NAME[/FOLDER or FILE.pt][@REVISION].

  adamas presets           lists the presets: purpose, hardware, time and memory
  adamas COMMAND --help    explains every option of a command
  adamas --version         prints the version"""


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        run: does it, given the words after its name: first the positional arguments, then the options.
        arguments: its positional arguments, as the help calls them.
        summary: what it does, in a few words.
        options: its options; None if it has none.
    """

    run: Callable[[Sequence[str]], None]
    arguments: str
    summary: str
    options: type | None = None


def usage(commands: Mapping[str, Command], group: str = "") -> str:
    """The list of the commands, or of those of a group such as ``data``."""
    chosen = {name: command for name, command in commands.items() if name.startswith(group)}
    calls = [f"{name} {command.arguments}".strip() for name, command in chosen.items()]
    width = max(map(len, calls))
    rows = [
        f"  {call:{width}}  {command.summary}" for call, command in zip(calls, chosen.values(), strict=True)
    ]
    start = f"adamas {group}".strip()
    notes = f"{start} COMMAND --help explains every option of a command." if group else NOTES
    return "\n".join([f"usage: {start} COMMAND [OPTIONS]", "", *rows, "", notes])


def without_help(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """The words of a command line without requests for help, and whether there was one before ``--``."""
    words = list(arguments)
    end = words.index("--") if "--" in words else len(words)
    own = [word for word in words[:end] if word not in HELP]
    wanted = len(own) < end
    if own[:1] == ["help"]:
        own, wanted = own[1:], True
    return [*own, *words[end:]], wanted


def show_help(name: str, command: Command, positionals: Sequence[str], options: Sequence[str]) -> None:
    """Print the help of a command. Nothing is downloaded for it.

    With an agent or a preset among the positional arguments, the defaults shown are those that it brings. An option
    that chooses a kind of a part, such as ``--env.suite minatar``, shows the options of that kind.

    Raises:
        SystemExit: the help was printed, by ``tyro``.
        UserError: there is no such preset.
    """
    takes_preset = "PRESET" in command.arguments
    if command.options is None or (
        takes_preset and not positionals and "config" in _own_fields(command.options)
    ):
        if "--resume" in options:
            return command.run(["--resume", "RUN", "--help"])
        return print(_brief(name, command))
    if positionals and not any(map(is_address, positionals)):
        with contextlib.nullcontext() if takes_preset else contextlib.suppress(UserError):
            # The options say which kinds of parts to show. Behind --help, they are not checked.
            command.run([*positionals, "--help", *options])
    # Arguments of any number are options of the dataclass, which tyro adds to the usage.
    arguments = "" if command.arguments.endswith("...") else command.arguments
    parse(command.options, ["--help"], f"{name} {arguments}".strip())


def _own_fields(options: type) -> set[str]:
    return {field.name for field in fields(options)}


def _brief(name: str, command: Command) -> str:
    """What a command does, and its options without those that a preset brings."""
    call = f"adamas {name} {command.arguments}".strip()
    if command.options is None:
        return f"usage: {call}\n\n{command.summary}."
    lines = [f"usage: {call} [OPTIONS]", "", inspect.cleandoc(command.options.__doc__ or ""), ""]
    own = _own_fields(command.options)
    for option in options_of(command.options):
        if option.field in own:
            lines += [
                f"  {option.flag}",
                textwrap.fill(option.help, 90, initial_indent="      ", subsequent_indent="      "),
            ]
    lines += [
        "",
        f"Every field of the preset is an option as well: adamas {name} PRESET --help lists them all,",
    ]
    lines += ["with the preset's values. adamas presets lists the presets."]
    return "\n".join(lines)
