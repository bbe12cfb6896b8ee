"""An engine that is stepped by hand, and a server in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

import adamas
from adamas.envs.config import MinAtarConfig
from adamas.envs.make import make_env
from adamas.envs.vector import RealVectorEnv
from adamas.play.engine import Engine, Player
from adamas.play.messages import Request
from adamas.play.scene import PlayContext
from adamas.play.server_messages import Note, Notice, ViewUpdate, header_json
from adamas.play.session import Session
from tests.helpers.processes import command

L = 4
ENV = MinAtarConfig(game="breakout", size=10)


def breakout(training: bool) -> RealVectorEnv:
    return make_env(ENV, 1, 7, training)


class Table:
    """An engine that is stepped by hand, and players who note what they get."""

    def __init__(self, shared: PlayContext) -> None:
        self.engine = Engine(shared)
        self.updates: dict[Player, list[ViewUpdate]] = {}
        self.notes: dict[Player, list[Note]] = {}

    def join(self) -> Player:
        updates: list[ViewUpdate] = []
        notes: list[Note] = []
        player = Player(updates.append, notes.append)
        self.updates[player], self.notes[player] = updates, notes
        self.engine.join(player)
        self.look()
        return player

    def ask(self, player: Player, *requests: Request) -> ViewUpdate:
        """Requests, and what the player sees after them."""
        for request in requests:
            self.engine.request(player, request)
        self.look()
        return self.updates[player][-1]

    def look(self) -> None:
        """Do what was asked for, without a step."""
        self.engine.stop()
        self.engine._take_requests()
        for session in self.engine._sessions.values():
            session.due = float("inf")
        self.engine._advance()

    def step(self, count: int = 1) -> None:
        """Steps of all players together."""
        for _ in range(count):
            for session in self.engine._sessions.values():
                session.due = time.perf_counter()
            self.engine._advance()

    def session(self, player: Player) -> Session:
        return self.engine._sessions[player]

    def last(self, player: Player) -> dict[str, Any]:
        """The header of the player's last update, as their page reads it."""
        return header_json(self.updates[player][-1].header)

    def notice(self, player: Player) -> str:
        """The text of the player's last note, which must be a notice."""
        note = self.notes[player][-1]
        assert isinstance(note, Notice)
        return note.text


class Server:
    """``adamas play`` in a process of its own, until it is closed."""

    def __init__(self, run: Path, *options: str, port: int = 0) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  (a pipe that nobody reads would fill up)
        self.process = subprocess.Popen(
            command("play", run, "--port", str(port), "--fps", "60", *options),
            env=os.environ | {"PYTHONPATH": str(Path(adamas.__file__).parents[1]), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if "http://" not in line:
            self.process.kill()
            raise AssertionError(self.complaints())
        self.address = line.split()[1]
        self.site = self.address.partition("?")[0].rstrip("/")
        self.port = int(self.site.rpartition(":")[2])

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        return fetch(f"{self.site}{path}", **headers)

    def connect(self, origin: str | None = None, query: str = "", **options: Any) -> ClientConnection:
        options["origin"] = origin or f"http://127.0.0.1:{self.port}"
        return connect(f"ws://127.0.0.1:{self.port}/ws{query}", max_size=None, **options)

    def memory(self) -> int:
        """Resident, in bytes."""
        fields = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    def complaints(self) -> str:
        self._errors.seek(0)
        return self._errors.read()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()  # a test that failed has not closed it
        self.process.communicate()

    def close(self, number: int = signal.SIGINT) -> str:
        """Stop it, as Ctrl-C does unless told otherwise: what it complained about."""
        self.process.send_signal(number)
        try:
            self.process.communicate(timeout=30)
        finally:
            self.process.kill()  # where it did not end by itself
        complaints = self.complaints()
        self._errors.close()
        assert self.process.returncode == 0, complaints
        return complaints


def fetch(address: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    request = urllib.request.Request(address, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, dict(response.headers), response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def update(page: ClientConnection) -> dict[str, Any]:
    """The next update's description; notes before it are skipped."""
    while True:
        message = page.recv(timeout=20)
        if isinstance(message, bytes):
            (length,) = struct.unpack("<I", message[:4])
            header = json.loads(message[4 : 4 + length])
            assert len(message) == 4 + length + 300 * len(header["images"])
            return header


def note(page: ClientConnection, kind: str) -> dict[str, Any]:
    """The next note of a kind."""
    while True:
        message = page.recv(timeout=20)
        if isinstance(message, str) and json.loads(message)["type"] == kind:
            return json.loads(message)


def ask(page: ClientConnection, **message: Any) -> None:
    page.send(json.dumps(message))


def closed(page: ClientConnection) -> tuple[int, str]:
    """The code and the reason with which the server closes."""
    with pytest.raises(ConnectionClosed) as stop:
        while True:
            page.recv(timeout=20)
    assert stop.value.rcvd is not None
    return stop.value.rcvd.code, stop.value.rcvd.reason
