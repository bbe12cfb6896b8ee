"""Run the web server: open the port, start the engine's thread, and shut both down."""

from __future__ import annotations

import contextlib
import secrets
import signal
import socket
from collections.abc import Callable, Sequence

import uvicorn

from adamas.core.errors import UserError
from adamas.play.access import LOCAL_NAMES, AccessControl, check_origin
from adamas.play.app import make_app
from adamas.play.dataset_api import DatasetApi
from adamas.play.engine import Engine
from adamas.play.messages import MAX_MESSAGE
from adamas.play.server_messages import Hello

BACKLOG = 64  # connections that wait to be accepted
MAX_CONNECTIONS = 256  # of any kind at once


def serve(
    engine: Engine,
    dataset_api: DatasetApi,
    hello: Hello,
    host: str,
    port: int,
    max_players: int,
    allow_origin: Sequence[str] = (),
) -> None:
    """Serve the page until Ctrl-C, SIGTERM or SIGHUP, then save what is being recorded.

    Args:
        engine: steps the worlds.
        dataset_api: answers requests about datasets.
        hello: the first message to every page.
        host: address to listen on. A token is needed if it is no loopback address, or if ``allow_origin`` is set.
        port: port to listen on; 0 chooses a free one.
        max_players: limit of pages that play at the same time.
        allow_origin: further origins of the page, those of a proxy or of a forwarded port.

    Raises:
        UserError: the server cannot listen on the address.
    """
    origins = [check_origin(origin) for origin in allow_origin]
    host = host.strip("[]")
    listening = _listen(host, port)
    port = listening.getsockname()[1]
    token = None if _name(host) in LOCAL_NAMES and not origins else secrets.token_urlsafe(16)
    app = AccessControl(make_app(engine, dataset_api, hello, max_players), token, port, origins)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="websockets-sansio",
        ws_max_size=MAX_MESSAGE,
        ws_per_message_deflate=False,  # a page is mostly on the same machine
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)

    def stop() -> None:
        server.should_exit = True

    _handle_signals(stop)
    query = f"?token={token}" if token else ""
    print(
        f"open http://{_name(host)}:{port}/{query} to play {hello.title} (Ctrl-C stops the server)",
        flush=True,
    )
    for origin in origins:
        print(f"  behind a proxy: {origin}/{query}", flush=True)
    with (
        engine.running(on_fault=stop),
        contextlib.suppress(KeyboardInterrupt),
    ):  # the usual way to stop the server
        server.run(sockets=[listening])


def _handle_signals(stop: Callable[[], None]) -> None:
    """Shut down on SIGTERM and SIGHUP, which kill the process by default."""
    # Uvicorn handles SIGTERM, shuts down, and raises the signal again.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Under nohup, SIGHUP is ignored, and stays so.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda number, frame: stop())


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY, which sends small messages at once, only on sockets with an explicit TCP protocol.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise UserError(
            f"cannot listen on {host}, port {port}: {error.strerror}; choose another `port` (0: any free one), or "
            "a `host` that belongs to this machine"
        ) from error
    listening.listen(BACKLOG)
    return listening


def _name(host: str) -> str:
    """The name of this machine in the address that is printed."""
    if host in ("0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
