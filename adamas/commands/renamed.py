"""Commands and options that have another name now, so that one line can say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adamas.core.errors import UserError

COMMANDS: Mapping[str, str] = {"collect": "adamas data record FOLDER --agent RUN"}
"""What to type instead of a command."""

OPTIONS: Mapping[str, Mapping[str, str]] = {
    "dream": {"--by": "--policy", "--order": "--method"},
    "fidelity": {"--steps": "--denoising-steps"},
}
"""The options of each command that were renamed, by their old names."""


def refuse_old_names(command: str, arguments: Sequence[str]) -> None:
    """Refuse a command or an option by its old name.

    Args:
        command: the name of the command.
        arguments: the words after it.

    Raises:
        UserError: a name is an old one; the message says the new one.
    """
    if command in COMMANDS:
        raise UserError(f"adamas {command} is now: {COMMANDS[command]}")
    renamed = OPTIONS.get(command, {})
    for word in arguments:
        name = word.partition("=")[0]
        if name in renamed:
            raise UserError(f"{name} is now {renamed[name]} (adamas {command} --help lists the options)")
