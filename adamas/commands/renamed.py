"""Old names of commands and options, and the error that says their new names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adamas.core.errors import UserError

COMMANDS: Mapping[str, str] = {"collect": "adamas data record FOLDER --agent RUN"}
"""What replaces each removed command, by its old name."""

_TRAINING_OPTIONS = {
    "--policy.horizon": "--horizon",
    "--policy.loss.": "--training.actor-critic.learner.",
    "--policy.": "--training.actor-critic.",
    "--training.actor-critic.loss.": "--training.actor-critic.learner.",
    "--denoiser.": "--training.denoiser.",
    "--reward-end.": "--training.reward-end.",
    "--upsampler.": "--training.upsampler.",
}

OPTIONS: Mapping[str, Mapping[str, str]] = {
    "dream": {"--by": "--policy", "--order": "--method"},
    "fidelity": {"--steps": "--denoising-steps"},
    **dict.fromkeys(("train", "plan", "bench"), _TRAINING_OPTIONS),
}
"""The options of each command that were renamed, by their old names. A name that ends in a dot is a prefix; the
first match counts."""


def refuse_old_names(command: str, arguments: Sequence[str]) -> None:
    """Raise an error if a command or an option has its old name.

    Args:
        command: the name of the command.
        arguments: the command-line arguments after the command.

    Raises:
        UserError: an old name is used; the message gives the new one.
    """
    if command in COMMANDS:
        raise UserError(f"adamas {command} is now: {COMMANDS[command]}")
    for word in arguments:
        name = word.partition("=")[0]
        for old, new in OPTIONS.get(command, {}).items():
            if name == old or (old.endswith(".") and name.startswith(old)):
                now = new + name.removeprefix(old)
                raise UserError(f"{name} is now {now} (adamas {command} --help lists the options)")
