"""Reads who acts in a film of dreams: the agent, random actions, or a text file of actions."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.core.files import read_file
from adamas.dreaming.film_dreams import Actor


def read_actor(word: str, spec: ActionSpec) -> Actor:
    """Return ``"agent"``, ``"random"``, or the actions in the text file of that name.

    Raises:
        UserError: as in :func:`read_actions`.
    """
    return "agent" if word == "agent" else "random" if word == "random" else read_actions(Path(word), spec)


def read_actions(file: Path, spec: ActionSpec) -> Tensor:
    """Read actions from a text file with one action per line, given by its number or its name.

    Empty lines are ignored, and names may be in upper or lower case.

    Args:
        file: the text file.
        spec: the agent's actions, which must be discrete.

    Returns:
        (T,) int64.

    Raises:
        UserError: the file cannot be read, is empty, or holds a line that is not an action.
    """
    try:
        lines = read_file(file).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UserError(
            f"cannot read the file of actions {file} ({reason}); give agent, random, or a text file with an action "
            "on every line"
        ) from error
    known = {name.lower(): i for i, name in enumerate(spec.names)}
    known |= {str(i): i for i in range(spec.num_actions)}
    words = {number: line.strip() for number, line in enumerate(lines, 1) if line.strip()}
    for number, word in words.items():
        if word.lower() not in known:
            raise UserError(
                f"{file}, line {number}: no action {word!r}; give one of {', '.join(spec.names)}, or a number "
                f"below {spec.num_actions}"
            )
    if not words:
        raise UserError(f"{file} is empty; give an action on every line")
    return torch.tensor([known[word.lower()] for word in words.values()])
