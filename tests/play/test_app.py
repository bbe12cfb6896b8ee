"""A server in a process of its own, and pages that behave and others that do not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from adamas.play.app import Mailbox
from adamas.play.server_messages import Notice
from tests.helpers.play_server import Server, ask, closed, fetch, note, update

UPDATES = 10  # that a page must get while others do harm


@pytest.fixture(scope="module")
def server(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pytest.importorskip("minatar")
    folder = tmp_path_factory.mktemp("played")
    with Server(run, "--recordings", str(folder), "--max-players", "24") as server:
        yield server
        assert server.close() == ""


@pytest.fixture
def others(server: Server) -> Iterator[Callable[[], None]]:
    """A page that plays all the while. Called, it makes sure that it still does."""
    with server.connect() as page:
        update(page)

        def go_on() -> None:
            ages = [update(page)["frame"] for _ in range(UPDATES)]
            assert ages == sorted(ages)

        yield go_on
        go_on()


def test_a_page_is_greeted_and_plays(server: Server) -> None:
    with server.connect() as page:
        hello = note(page, "hello")
        assert (hello["height"], hello["width"], hello["actions"]) == (10, 10, ["noop", "left", "right"])
        assert (hello["views"], hello["title"]) == (["dream", "both", "real"], "tiny")
        assert update(page)["control"] == "agent"
        ask(page, type="control", who="human")
        ask(page, type="action", action=2, seq=5)
        while (seen := update(page))["ack"] != 5:
            pass
        assert update(page)["action"] == 2 or seen["action"] == 2
        ask(page, type="view", view="both")
        while update(page)["view"] != "both":
            pass
        assert update(page)["images"] == ["dream", "real"]


def test_what_is_played_can_be_browsed_and_downloaded(server: Server) -> None:
    pytest.importorskip("av")
    with server.connect() as page:
        ask(page, type="record", on=True)
        for _ in range(5):
            update(page)
        ask(page, type="record", on=False)
        saved = note(page, "saved")
    assert saved["dataset"] == "played-dream"
    place = f"/api/datasets/played-dream/{saved['episode']}"
    status, _, body = server.get(place)
    told = json.loads(body)
    assert (status, told["frames"]) == (200, saved["steps"] + 1)
    assert len(server.get(f"{place}/frames?count=2")[2]) == 2 * 300
    status, headers, body = server.get(f"{place}/film.mp4")
    assert (status, headers["content-type"]) == (200, "video/mp4")
    assert headers["content-disposition"] == f'attachment; filename="played-dream-{saved["episode"]}.mp4"'
    assert b"ftyp" in body[:32]
    assert server.get(f"{place}/film.gif")[2].startswith(b"GIF89a")
    names = [d["name"] for d in json.loads(server.get("/api/datasets")[2])["datasets"]]
    assert names == ["test", "played-dream"]


def test_every_answer_forbids_what_the_page_does_not_need(server: Server) -> None:
    for path in ("/", "/api/datasets", "/nothing"):
        headers = {name.lower(): value for name, value in server.get(path)[1].items()}
        assert "default-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/..%2fserver.py",
        "/static/%2e%2e/%2e%2e/core/errors.py",
        "/static//etc/passwd",
        "/static/",
        "/api/datasets/..%2f..%2ftest",
        "/api/datasets/%2fetc",
        "/api/datasets/test/-1",
        "/api/datasets/test/0.5",
        "/api/datasets/test/99999999999999999999",
        "/api/datasets/test/" + 5000 * "9",
        "/api/datasets/test/" + 5000 * "9" + "/film.mp4",
        "/api/datasets/test/%D9%A3",
        "/api/datasets/test/0/frames?count=" + 5000 * "9",
        "/api/datasets/test/0/frames?start=%D9%A3",
        "/api/datasets/test/0/film.exe",
        "/api/datasets/test/0/frames?start=-1",
        "/api/datasets/test/0/frames?count=1e9",
        "/api/datasets/test?start=9999999999999",
        "/api/datasets/nothing",
    ],
)
def test_paths_that_lead_nowhere_are_not_found(server: Server, others: Callable[[], None], path: str) -> None:
    status, _, body = server.get(path)
    assert status == 404
    assert b"import" not in body and b"root:" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_changed_over_http(server: Server, method: str) -> None:
    assert fetch(f"{server.site}/api/datasets/test/0", method)[0] == 405


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "http://127.0.0.1:1",
        "null",
        "http://127.0.0.1.evil.example",
        "http://[",
        "http://]",
        "//",
    ],
)
def test_another_sites_page_does_not_come_in(server: Server, others: Callable[[], None], origin: str) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        server.connect(origin=origin)
    assert refusal.value.response.status_code == 403
    assert server.get("/api/datasets", Origin=origin)[0] == 403


def test_a_websocket_must_say_where_it_comes_from(server: Server) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        connect(f"ws://127.0.0.1:{server.port}/ws")
    assert refusal.value.response.status_code == 403


def test_a_name_that_was_made_to_point_here_is_refused(server: Server) -> None:
    assert server.get("/", Host=f"evil.example:{server.port}")[0] == 403
    assert server.get("/", Host=f"localhost:{server.port}")[0] == 200


def test_a_huge_message_closes_the_connection(server: Server, others: Callable[[], None]) -> None:
    with server.connect() as page:
        update(page)
        with pytest.raises((ConnectionClosed, OSError)):
            page.send("x" * 10_000_000)
            closed(page)
            page.recv()
        assert page.close_code in (1009, 1006)  # the connection may break before the reason comes through


def test_a_huge_message_in_small_pieces_closes_the_connection(
    server: Server, others: Callable[[], None]
) -> None:
    with server.connect() as page:
        update(page)
        with pytest.raises((ConnectionClosed, OSError)):
            page.send("x" * 100 for _ in range(1_000_000))
        assert page.close_code in (1009, 1006)


def test_a_connection_that_the_server_closed_before_anyone_was_told() -> None:
    class Closed:
        async def send_text(self, text: str) -> None:
            raise RuntimeError("Unexpected ASGI message 'websocket.send', after sending 'websocket.close'.")

    async def send() -> None:
        mailbox = Mailbox()
        mailbox.notify(Notice(text="hello"))
        await mailbox.send_to(cast(WebSocket, Closed()))

    with pytest.raises(WebSocketDisconnect):
        asyncio.run(send())


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"type": "fly"}',
        '{"type": "action", "action": 99}',
        "\x00",
        "💎",
        '{"type": "settings", "horizon": ' + 400 * "9" + "}",
    ],
)
def test_malformed_messages_are_answered_and_too_many_close_the_connection(
    server: Server, others: Callable[[], None], text: str
) -> None:
    with server.connect() as page:
        note(page, "hello")
        page.send(text)
        assert note(page, "notice")["text"]
        update(page)  # once is a mistake
        with contextlib.suppress(ConnectionClosed):  # it may be closed before the last is sent
            for _ in range(20):
                page.send(text)
        assert closed(page) == (1008, "too many invalid messages")


def test_a_binary_message_closes_the_connection(server: Server, others: Callable[[], None]) -> None:
    with server.connect() as page:
        page.send(b"\x00" * 100)
        assert closed(page)[0] == 1008


def test_ten_thousand_messages_at_once_close_the_connection(
    server: Server, others: Callable[[], None]
) -> None:
    with server.connect() as page:
        update(page)
        began = time.monotonic()
        with pytest.raises(ConnectionClosed):
            for seq in range(10_000):
                ask(page, type="action", action=1, seq=seq)
            closed(page)
            page.recv()
        assert time.monotonic() - began < 20
        assert page.protocol.close_rcvd is not None
        assert (page.protocol.close_rcvd.code, page.protocol.close_rcvd.reason) == (
            1008,
            "more than 100 messages a second",
        )


def test_no_more_players_than_allowed(server: Server, others: Callable[[], None]) -> None:
    pages = [server.connect() for _ in range(23)]
    try:
        for page in pages:
            update(page)
        with server.connect() as one_more:
            assert closed(one_more)[0] == 1013
        pages.pop().close()
        for _ in range(50):  # the place is free soon
            with server.connect() as one_more:
                try:
                    update(one_more)
                    break
                except ConnectionClosed:
                    time.sleep(0.1)
        else:
            pytest.fail("the place of a player who left stays taken")
    finally:
        for page in pages:
            page.close()


def test_a_page_that_never_reads_gets_nothing_that_piles_up(
    server: Server, others: Callable[[], None]
) -> None:
    with closing(socket.create_connection(("127.0.0.1", server.port))) as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.sendall(
            f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nOrigin: http://127.0.0.1:{server.port}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        others()
        before = server.memory()
        for _ in range(20):
            others()
        assert server.memory() - before < 4 * 2**20


def test_a_port_in_use_is_refused_in_one_line(server: Server, run: Path) -> None:
    command = [sys.executable, "-m", "adamas", "play", str(run), "--port", str(server.port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "--port" in done.stderr
