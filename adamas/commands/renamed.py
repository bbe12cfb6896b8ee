"""Commands and options that have another name now, so that one line can say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adamas.core.errors import UserError

COMMANDS: Mapping[str, str] = {"collect": "adamas data record FOLDER --agent RUN"}
"""What to type instead of a command."""

_OF_RUNS = {
    "--policy.horizon": "--horizon",
    "--policy.": "--training.actor-critic.",
    "--denoiser.": "--training.denoiser.",
    "--reward-end.": "--training.reward-end.",
    "--upsampler.": "--training.upsampler.",
}

OPTIONS: Mapping[str, Mapping[str, str]] = {
    "dream": {"--by": "--policy", "--order": "--method"},
    "fidelity": {"--steps": "--denoising-steps"},
    **dict.fromkeys(("train", "plan", "bench"), _OF_RUNS),
}
"""The options of each command that were renamed, by their old names. A name that ends in a dot is the beginning of
several options; the first that fits counts."""


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
    for word in arguments:
        name = word.partition("=")[0]
        for old, new in OPTIONS.get(command, {}).items():
            if name == old or (old.endswith(".") and name.startswith(old)):
                now = new + name.removeprefix(old)
                raise UserError(f"{name} is now {now} (adamas {command} --help lists the options)")
