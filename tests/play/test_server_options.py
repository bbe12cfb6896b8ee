"""Servers for others, behind a proxy, and what ends a server."""

from __future__ import annotations

import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from adamas.data import EpisodeStore
from tests.helpers.play_server import Server, ask, fetch, update


def test_a_server_for_others_wants_its_token(run: Path, tmp_path: Path) -> None:
    server = Server(run, "--recordings", str(tmp_path), "--host", "0.0.0.0")
    try:
        token = server.address.partition("token=")[2]
        assert len(token) >= 16
        site = f"http://127.0.0.1:{server.port}"
        assert fetch(f"{site}/")[0] == 403
        assert fetch(f"{site}/api/datasets")[0] == 403
        assert fetch(f"{site}/?token=wrong")[0] == 403
        for query in ("", "?token=", "?token=wrong", f"?token={token[:-1]}"):
            with pytest.raises(InvalidStatus) as refusal:
                server.connect(query=query)
            assert refusal.value.response.status_code == 403
        with server.connect(query=f"?token={token}") as page:
            update(page)

        class NoRedirect(urllib.request.HTTPRedirectHandler):
            def redirect_request(self, *_: Any) -> None:
                return None

        with pytest.raises(urllib.error.HTTPError) as answer:
            urllib.request.build_opener(NoRedirect).open(f"{site}/?token={token}", timeout=10)
        answer.value.close()
        assert (answer.value.code, answer.value.headers["location"]) == (303, "./")
        cookie = answer.value.headers["set-cookie"]
        assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower()
        assert fetch(f"{site}/", Cookie=cookie.partition(";")[0])[0] == 200
    finally:
        server.close()


def test_a_page_behind_a_proxy_needs_its_origin_and_the_token(run: Path, tmp_path: Path) -> None:
    proxy = "https://play.example.org"
    with Server(run, "--recordings", str(tmp_path), "--allow-origin", proxy + "/") as server:
        query = "?" + server.address.partition("?")[2]
        assert server.process.stdout is not None
        assert server.process.stdout.readline().strip() == f"behind a proxy: {proxy}/{query}"
        with server.connect(origin=proxy, query=query) as page:
            update(page)
        for origin, token in ((proxy, ""), ("https://evil.example.org", query)):
            with pytest.raises(InvalidStatus) as refusal:
                server.connect(origin=origin, query=token)
            assert refusal.value.response.status_code == 403
        assert server.close() == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_whatever_ends_the_server_the_recording_is_saved(run: Path, tmp_path: Path, number: int) -> None:
    with Server(run, "--recordings", str(tmp_path)) as server, server.connect() as page:
        ask(page, type="record", on=True)
        while update(page)["dream"]["age"] < 5:
            pass
        assert server.close(number) == ""
    store = EpisodeStore.open(tmp_path / "dream")
    assert store.ended.all() and store.num_transitions >= 4


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_the_loopback_address_of_ipv6_needs_no_token(run: Path, tmp_path: Path, host: str) -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    with Server(run, "--recordings", str(tmp_path), "--host", host) as server:
        assert server.address == f"http://[::1]:{server.port}/"
        assert fetch(server.address)[0] == 200
        assert server.close() == ""
