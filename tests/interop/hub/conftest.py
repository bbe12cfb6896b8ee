"""A hub that nobody is logged in to."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.helpers.hub_stand_in import StandIn, connect, stand_in


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[StandIn, ThreadingHTTPServer]]:
    with stand_in() as (hub, server):
        connect(monkeypatch, hub.endpoint, tmp_path / "home", token=None)
        yield hub, server


@pytest.fixture
def hub(server: tuple[StandIn, ThreadingHTTPServer]) -> StandIn:
    return server[0]
