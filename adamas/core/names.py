"""Names that people spell in several ways."""

from __future__ import annotations


def folded(name: str) -> str:
    """The letters and digits of a name, in lower case: equal for MsPacman, ms_pacman and mspacman."""
    return "".join(filter(str.isalnum, name)).lower()
