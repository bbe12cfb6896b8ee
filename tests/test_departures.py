"""What docs/departures.md offers to restore can be restored, and its overrides of games are the preset's."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from adamas.commands.train import parse_start
from adamas.presets import preset
from adamas.presets.atari import GAME_OVERRIDES

PAGE = Path(__file__).parents[1] / "docs" / "departures.md"
HEADER = ["what", "published", "here", "why, and what it can change", "restore"]


def rows() -> list[list[str]]:
    """The cells of every row of the tables."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    cells = [line.strip("|").split(" | ") for line in lines if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in cells if set(row[0]) - set(" -|")]


def test_every_row_says_everything() -> None:
    found = [row for row in rows() if len(row) == len(HEADER) and row != HEADER]
    assert len(found) > 10
    assert all(all(row) for row in found)


OPTIONS = sorted({option for row in rows() for option in re.findall(r"`(--[^`]+)`", row[-1])})


@pytest.mark.parametrize("option", OPTIONS)
def test_what_restores_the_published_behaviour_is_an_option(option: str) -> None:
    words = shlex.split(option)
    name = "csgo" if words[0] == "--final-epochs" else "atari100k"
    assert parse_start(name, words).config != preset(name)


def test_overrides_of_games_are_named() -> None:
    text = PAGE.read_text(encoding="utf-8").lower()
    for game, settings in GAME_OVERRIDES.items():
        assert f"**{game}**" in text
        for key, value in settings.items():
            assert key.rpartition(".")[2] in text and str(value) in text
