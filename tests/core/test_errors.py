"""Error messages point at the remedy."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import adamas
from adamas.core.errors import UserError, nearest, not_installed, with_flags


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
    error = not_installed("minatar", "minatar")
    assert isinstance(error, UserError)
    assert str(error) == "minatar is not installed; install it with: pip install 'adamas[minatar]'"


COMMAND_LINE = {"cli.py", "commands", "suite"}
"""Rooms and files that only the command line reaches."""


def test_messages_show_options_on_the_command_line_alone() -> None:
    message = "`env.game` is Pnog; choose one of `games`"
    assert with_flags(message, {"env.game": "--env.game"}) == "--env.game is Pnog; choose one of `games`"


@pytest.mark.parametrize(
    ("field", "shown"),
    [
        ("loss.gamma", "--training.actor_critic.loss.gamma"),
        ("optimizer.lr", "`optimizer.lr`"),  # two options end in it
        ("lr", "`lr`"),  # this is not the name of a part's field
        ("gamma.loss", "`gamma.loss`"),
    ],
)
def test_a_field_of_a_part_is_shown_as_its_only_option(field: str, shown: str) -> None:
    names = ("actor_critic.loss.gamma", "actor_critic.optimizer.lr", "denoiser.optimizer.lr")
    fields = [f"training.{name}" for name in names]
    assert with_flags(f"`{field}` is 2", {name: f"--{name}" for name in fields}) == f"{shown} is 2"


def test_errors_below_the_command_line_name_fields_instead_of_options() -> None:
    package = Path(adamas.__file__).parent
    found = []
    for path in package.rglob("*.py"):
        place = path.relative_to(package)
        if place.parts[0] in COMMAND_LINE or path.name in (
            "command.py",
            "plan.py",
            "trust.py",
            "arguments.py",
        ):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise):
                words = [str(part.value) for part in ast.walk(node) if isinstance(part, ast.Constant)]
                text = "".join(words)
                if re.search(r"(?<![-\w])--[a-z]", text) and "pip install" not in text:
                    found.append(f"{place}:{node.lineno}: {text}")
    assert found == []
