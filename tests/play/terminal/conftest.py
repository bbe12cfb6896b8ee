"""A terminal with all colours, and a clock that is set by hand."""

from __future__ import annotations

import pytest

from tests.helpers.clock import Clock


@pytest.fixture(autouse=True)
def all_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textual.constants.COLOR_SYSTEM", "truecolor")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The application's clock; it stands still unless it is set."""
    clock = Clock()
    monkeypatch.setattr("adamas.play.terminal.time", clock)
    return clock
