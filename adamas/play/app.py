"""The web server: the page, its WebSocket, and the datasets to browse."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from importlib import resources
from typing import Any, TypeVar

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from adamas.core.errors import UserError
from adamas.play.dataset_api import Library, Unknown
from adamas.play.engine import Engine, Player
from adamas.play.messages import Moment, encode, parse

MAX_RATE = 100  # messages a second from one page, on average
BURST = 200  # of them at once
MAX_MISTAKES = 10  # messages of one page that make no sense
SEND_TIMEOUT = 30.0  # seconds in which a page must take one moment
MISUSE, TRY_LATER = 1008, 1013  # codes that close a WebSocket

CONTENT_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
Content = TypeVar("Content", str, bytes)
FILMS = {".mp4": "video/mp4", ".gif": "image/gif"}


class Mailbox:
    """What waits to be sent to one page: the newest moment alone, and a few notes."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting = asyncio.Event()
        self._newest: deque[Moment] = deque(maxlen=1)
        self._notes: deque[dict[str, Any]] = deque(maxlen=16)

    def show(self, moment: Moment) -> None:
        """Replace the moment that waits. From any thread."""
        self._newest.append(moment)
        self._wake()

    def tell(self, note: dict[str, Any]) -> None:
        """Add a note; the oldest falls out where there are too many. From any thread."""
        self._notes.append(note)
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the server stops
            self._loop.call_soon_threadsafe(self._waiting.set)

    async def send_to(self, socket: WebSocket) -> None:
        """Send what comes, as fast as the page takes it.

        Raises:
            TimeoutError: the page takes nothing.
            WebSocketDisconnect: the connection is closed.
        """
        while True:
            await self._waiting.wait()
            self._waiting.clear()
            while self._notes:
                await _deliver(socket.send_text, json.dumps(self._notes.popleft()))
            if self._newest:
                await _deliver(socket.send_bytes, encode(self._newest.pop()))


async def _deliver(send: Callable[[Content], Awaitable[None]], content: Content) -> None:
    with anyio.fail_after(SEND_TIMEOUT):
        try:
            await send(content)
        except RuntimeError as error:
            # Uvicorn closes by itself where a message is too large, and tells who listens only after who sends.
            raise WebSocketDisconnect(reason=str(error)) from error


class Budget:
    """How many messages a page may still send: refilled steadily, up to a burst."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._left, self._since = float(BURST), now()

    def spend(self) -> bool:
        """One message. False: it is too many."""
        now = self._now()
        self._left = min(BURST, self._left + MAX_RATE * (now - self._since)) - 1
        self._since = now
        return self._left >= 0


def make_app(engine: Engine, library: Library, hello: Mapping[str, Any], max_players: int) -> Starlette:
    """The application.

    Args:
        engine: computes; its thread is the caller's business.
        library: datasets to browse.
        hello: what a page is told first.
        max_players: at once.
    """
    files = _page_files()
    players: set[Player] = set()

    def page(request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        if name not in files:
            return JSONResponse({"error": "there is no such file"}, 404)
        return Response(files[name], media_type=CONTENT_TYPES[name.rpartition(".")[2]])

    async def play(socket: WebSocket) -> None:
        await socket.accept()
        if len(players) >= max_players:
            await socket.close(TRY_LATER, f"{max_players} are playing already; try again later")
            return
        mailbox = Mailbox()
        mailbox.tell(dict(hello))
        player = Player(mailbox.show, mailbox.tell)
        players.add(player)
        engine.join(player)
        try:
            await _serve(socket, mailbox, engine, player, len(hello["actions"]))
        finally:
            players.discard(player)
            engine.leave(player)

    return Starlette(
        routes=[
            Route("/", page),
            Route("/static/{name}", page),
            WebSocketRoute("/ws", play),
            *_library_routes(library),
        ]
    )


async def _serve(
    socket: WebSocket, mailbox: Mailbox, engine: Engine, player: Player, num_actions: int
) -> None:
    """Both directions of one connection, until either ends."""
    misuse = ""
    async with anyio.create_task_group() as tasks:

        async def send() -> None:
            # Pages leave whenever they like, and those that take nothing are left.
            with contextlib.suppress(WebSocketDisconnect, TimeoutError):
                await mailbox.send_to(socket)
            tasks.cancel_scope.cancel()

        tasks.start_soon(send)
        misuse = await _receive(socket, engine, player, num_actions)
        tasks.cancel_scope.cancel()
    if misuse and socket.application_state is WebSocketState.CONNECTED:
        with contextlib.suppress(WebSocketDisconnect, TimeoutError):  # it did not wait for that
            await _deliver(partial(socket.close, MISUSE), misuse)


async def _receive(socket: WebSocket, engine: Engine, player: Player, num_actions: int) -> str:
    """Hand on what a page asks for, until it leaves (empty) or misbehaves (in which way)."""
    budget, mistakes = Budget(), 0
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return ""
        text = message.get("text")
        if not budget.spend():
            return f"more than {MAX_RATE} messages a second"
        if text is None:
            return "binary messages are not understood"
        try:
            engine.request(player, parse(text, num_actions))
        except UserError as error:
            player.tell({"type": "notice", "text": str(error)})
            mistakes += 1
            if mistakes > MAX_MISTAKES:
                return "too many messages that make no sense"


def _library_routes(library: Library) -> list[Route]:
    """Datasets and episodes. Plain functions: Starlette calls them in threads of their own."""

    def datasets(request: Request) -> Response:
        return JSONResponse(library.datasets())

    def episodes(request: Request) -> Response:
        start, count = _numbers(request, start=0, count=50)
        return JSONResponse(library.episodes(request.path_params["dataset"], start, count))

    def episode(request: Request) -> Response:
        return JSONResponse(library.episode(*_place(request)))

    def frames(request: Request) -> Response:
        start, count = _numbers(request, start=0, count=64)
        content = library.frames(*_place(request), start, count)
        return Response(content, media_type="application/octet-stream")

    def film(request: Request) -> Response:
        (dataset, index), ending = _place(request), "." + request.path_params["ending"]
        if ending not in FILMS:
            raise Unknown("films are mp4 or gif")
        name = f"{dataset}-{index}{ending}"
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return Response(library.film(dataset, index, ending), media_type=FILMS[ending], headers=headers)

    one = "/api/datasets/{dataset}/{index}"
    routes: dict[str, Callable[[Request], Response]] = {
        "/api/datasets": datasets,
        "/api/datasets/{dataset}": episodes,
        one: episode,
        f"{one}/frames": frames,
        f"{one}/film.{{ending}}": film,
    }
    return [Route(path, _or_not_found(endpoint)) for path, endpoint in routes.items()]


def _or_not_found(endpoint: Callable[[Request], Response]) -> Callable[[Request], Response]:
    def answer(request: Request) -> Response:
        try:
            return endpoint(request)
        except Unknown as error:
            return JSONResponse({"error": str(error)}, 404)
        except UserError as error:
            return JSONResponse({"error": str(error)}, 503)

    return answer


def _place(request: Request) -> tuple[str, int]:
    return request.path_params["dataset"], _number("the number of an episode", request.path_params["index"])


def _numbers(request: Request, **defaults: int) -> list[int]:
    """Numbers of a query, each as :func:`_number` takes it."""
    return [_number(name, request.query_params.get(name, str(default))) for name, default in defaults.items()]


def _number(name: str, word: str) -> int:
    """A whole number of at most nine digits. Raises Unknown: it is none."""
    if not (word.isascii() and word.isdigit() and len(word) <= 9):
        raise Unknown(f"{name} must be a whole number")
    return int(word)


def _page_files() -> dict[str, bytes]:
    """All of the page, in memory: no name from outside ever becomes a path."""
    folder = resources.files("adamas.play") / "static"
    return {
        file.name: file.read_bytes()
        for file in folder.iterdir()
        if file.name.rpartition(".")[2] in CONTENT_TYPES
    }
