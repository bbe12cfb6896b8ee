"""The web application: the files of the page, its WebSocket, and the API to browse datasets."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import resources
from typing import TypeVar

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from adamas.core.errors import UserError
from adamas.play.dataset_api import DatasetApi, NotFound
from adamas.play.engine import Engine, Player
from adamas.play.messages import parse
from adamas.play.server_messages import Hello, Note, Notice, ViewUpdate, encode_note, encode_update

MAX_RATE = 100  # messages a second from one page, on average
BURST = 200  # of them at once
MAX_MISTAKES = 10  # invalid messages after which a page is disconnected
SEND_TIMEOUT = 30.0  # seconds within which a page must receive one message
MISUSE, TRY_LATER = 1008, 1013  # WebSocket close codes

CONTENT_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
Content = TypeVar("Content", str, bytes)
FILMS = {".mp4": "video/mp4", ".gif": "image/gif"}


class Mailbox:
    """The queue of messages for one page: only the newest update, and a few notes."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting = asyncio.Event()
        self._newest: deque[ViewUpdate] = deque(maxlen=1)
        self._notes: deque[Note] = deque(maxlen=16)

    def show(self, update: ViewUpdate) -> None:
        """Replace the update that waits to be sent. May be called from any thread."""
        self._newest.append(update)
        self._wake()

    def notify(self, note: Note) -> None:
        """Add a note; if the queue is full, the oldest note is dropped. May be called from any thread."""
        self._notes.append(note)
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed because the server stops
            self._loop.call_soon_threadsafe(self._waiting.set)

    async def send_to(self, socket: WebSocket) -> None:
        """Send messages as fast as the page receives them, until the connection ends.

        Raises:
            TimeoutError: the page receives nothing for :data:`SEND_TIMEOUT` seconds.
            WebSocketDisconnect: the connection is closed.
        """
        while True:
            await self._waiting.wait()
            self._waiting.clear()
            while self._notes:
                await _deliver(socket.send_text, encode_note(self._notes.popleft()))
            if self._newest:
                await _deliver(socket.send_bytes, encode_update(self._newest.pop()))


async def _deliver(send: Callable[[Content], Awaitable[None]], content: Content) -> None:
    with anyio.fail_after(SEND_TIMEOUT):
        try:
            await send(content)
        except RuntimeError as error:
            # Uvicorn closes the connection when a message is too large. The sender notices before the receiver.
            raise WebSocketDisconnect(reason=str(error)) from error


class RateLimit:
    """Rate limit of one page's messages: a token bucket of :data:`BURST`, refilled at :data:`MAX_RATE` a second."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._left, self._since = float(BURST), now()

    def allow(self) -> bool:
        """Count one message. Returns False if it is over the limit."""
        now = self._now()
        self._left = min(BURST, self._left + MAX_RATE * (now - self._since)) - 1
        self._since = now
        return self._left >= 0


def make_app(engine: Engine, dataset_api: DatasetApi, hello: Hello, max_players: int) -> Starlette:
    """Build the application.

    Args:
        engine: steps the worlds; the caller runs its thread.
        dataset_api: answers requests about datasets.
        hello: the first message to every page.
        max_players: limit of pages that play at the same time.
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
        mailbox.notify(hello)
        player = Player(mailbox.show, mailbox.notify)
        players.add(player)
        engine.join(player)
        try:
            await _serve(socket, mailbox, engine, player, len(hello.actions))
        finally:
            players.discard(player)
            engine.leave(player)

    return Starlette(
        routes=[
            Route("/", page),
            Route("/static/{name}", page),
            WebSocketRoute("/ws", play),
            *_dataset_routes(dataset_api),
        ]
    )


async def _serve(
    socket: WebSocket, mailbox: Mailbox, engine: Engine, player: Player, num_actions: int
) -> None:
    """Run both directions of one connection until either of them ends."""
    misuse = ""
    async with anyio.create_task_group() as tasks:

        async def send() -> None:
            # A page may close the connection at any time; one that receives nothing is dropped.
            with contextlib.suppress(WebSocketDisconnect, TimeoutError):
                await mailbox.send_to(socket)
            tasks.cancel_scope.cancel()

        tasks.start_soon(send)
        misuse = await _receive(socket, engine, player, num_actions)
        tasks.cancel_scope.cancel()
    if misuse and socket.application_state is WebSocketState.CONNECTED:
        with contextlib.suppress(WebSocketDisconnect, TimeoutError):  # the page has gone already
            await _deliver(partial(socket.close, MISUSE), misuse)


async def _receive(socket: WebSocket, engine: Engine, player: Player, num_actions: int) -> str:
    """Pass on the requests of a page until it leaves. Returns the reason for closing; empty if the page left."""
    rate_limit, mistakes = RateLimit(), 0
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return ""
        text = message.get("text")
        if not rate_limit.allow():
            return f"more than {MAX_RATE} messages a second"
        if text is None:
            return "binary messages are not supported"
        try:
            engine.request(player, parse(text, num_actions))
        except UserError as error:
            player.notify(Notice(text=str(error)))
            mistakes += 1
            if mistakes > MAX_MISTAKES:
                return "too many invalid messages"


def _dataset_routes(dataset_api: DatasetApi) -> list[Route]:
    """Routes of the dataset API. They are plain functions, which Starlette calls in worker threads."""

    def datasets(request: Request) -> Response:
        return JSONResponse(dataset_api.datasets())

    def episodes(request: Request) -> Response:
        start, count = _numbers(request, start=0, count=50)
        return JSONResponse(dataset_api.episodes(request.path_params["dataset"], start, count))

    def episode(request: Request) -> Response:
        return JSONResponse(dataset_api.episode(*_episode_of(request)))

    def frames(request: Request) -> Response:
        start, count = _numbers(request, start=0, count=64)
        content = dataset_api.frames(*_episode_of(request), start, count)
        return Response(content, media_type="application/octet-stream")

    def film(request: Request) -> Response:
        (dataset, index), ending = _episode_of(request), "." + request.path_params["ending"]
        if ending not in FILMS:
            raise NotFound("films are mp4 or gif")
        name = f"{dataset}-{index}{ending}"
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return Response(dataset_api.film(dataset, index, ending), media_type=FILMS[ending], headers=headers)

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
        except NotFound as error:
            return JSONResponse({"error": str(error)}, 404)
        except UserError as error:
            return JSONResponse({"error": str(error)}, 503)

    return answer


def _episode_of(request: Request) -> tuple[str, int]:
    return request.path_params["dataset"], _number("the number of an episode", request.path_params["index"])


def _numbers(request: Request, **defaults: int) -> list[int]:
    """Whole numbers from the query, each parsed by :func:`_number`."""
    return [_number(name, request.query_params.get(name, str(default))) for name, default in defaults.items()]


def _number(name: str, word: str) -> int:
    """Parse a whole number of at most nine digits. Raises NotFound if ``word`` is not one."""
    if not (word.isascii() and word.isdigit() and len(word) <= 9):
        raise NotFound(f"{name} must be a whole number")
    return int(word)


def _page_files() -> dict[str, bytes]:
    """All files of the page, in memory, so that no requested name is ever used as a path."""
    folder = resources.files("adamas.play") / "static"
    return {
        file.name: file.read_bytes()
        for file in folder.iterdir()
        if file.name.rpartition(".")[2] in CONTENT_TYPES
    }
