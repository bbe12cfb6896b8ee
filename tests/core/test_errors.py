"""Error messages point at the remedy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamas.core.errors import UserError, nearest, require


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("brekout", "did you mean 'Breakout'?"),
        ("BREAKOUT", "did you mean 'Breakout'?"),
        ("pong", "did you mean 'Pong'?"),
        ("zzz", "valid: Breakout, Freeway, Pong"),
        ("", "valid: Breakout, Freeway, Pong"),
    ],
)
def test_nearest(name: str, hint: str) -> None:
    assert nearest(name, ["Pong", "Freeway", "Breakout"]) == hint


@given(st.lists(st.text(alphabet="abcdefgh", min_size=3, max_size=8), min_size=1, unique=True), st.data())
def test_an_exact_name_is_its_own_nearest(names: list[str], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(names))
    assert nearest(name, names) == f"did you mean {name!r}?"


def test_nearest_reads_an_iterator_once() -> None:
    assert nearest("x", iter(["one", "two"])) == "valid: one, two"


def test_require_names_the_install_command() -> None:
    error = require("minatar", "minatar")
    assert isinstance(error, UserError)
    assert str(error) == "minatar is not installed; install it with: pip install 'adamas[minatar]'"
