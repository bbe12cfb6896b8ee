"""Spellings of names."""

from __future__ import annotations

import pytest

from adamas.core.names import folded


@pytest.mark.parametrize("name", ["MsPacman", "ms_pacman", "mspacman", "Ms. Pacman"])
def test_spellings_of_a_name_are_equal(name: str) -> None:
    assert folded(name) == "mspacman"
