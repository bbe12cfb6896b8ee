"""The server's life: the port, the engine's thread, and the end of both."""

from __future__ import annotations

import contextlib
import secrets
import signal
import socket
from collections.abc import Mapping, Sequence
from typing import Any

import uvicorn

from adamas.core.errors import UserError
from adamas.play.access import LOCAL_NAMES, Door, check_origin
from adamas.play.app import make_app
from adamas.play.dataset_api import Library
from adamas.play.engine import Engine
from adamas.play.messages import MAX_MESSAGE

BACKLOG = 64  # connections that wait for being accepted
MAX_CONNECTIONS = 256  # of any kind at once


def serve(
    engine: Engine,
    library: Library,
    hello: Mapping[str, Any],
    host: str,
    port: int,
    max_players: int,
    allow_origin: Sequence[str] = (),
) -> None:
    """Serve the page until Ctrl-C, SIGTERM or SIGHUP. What is being recorded is saved then.

    Args:
        engine: computes.
        library: datasets to browse.
        hello: what a page is told first.
        host: address to listen on. Unless it is this machine's own, or if there are other origins, a token is needed.
        port: 0 takes any free one.
        max_players: at once.
        allow_origin: where else browsers find the page, behind a proxy or a forwarded port.

    Raises:
        UserError: the address cannot be listened on.
    """
    origins = [check_origin(origin) for origin in allow_origin]
    listening = _listen(host, port)
    port = listening.getsockname()[1]
    token = None if host in LOCAL_NAMES and not origins else secrets.token_urlsafe(16)
    app = Door(make_app(engine, library, hello, max_players), token, port, origins)
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

    # By default both end the process at once. uvicorn catches the first, and sends it again when it is done.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if (
        hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    ):  # nohup ignores it
        signal.signal(signal.SIGHUP, lambda number, frame: stop())
    query = f"?token={token}" if token else ""
    print(f"{hello['title']} dreams at http://{_name(host)}:{port}/{query} (Ctrl-C ends it)", flush=True)
    for origin in origins:
        print(f"  behind a proxy: {origin}/{query}", flush=True)
    with engine.running(on_fault=stop), contextlib.suppress(KeyboardInterrupt):  # how it is meant to end
        server.run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio recognises TCP by the protocol's number, and only then sends small messages without delay (TCP_NODELAY).
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host.strip("[]"), port))
    except OSError as error:
        listening.close()
        raise UserError(
            f"cannot listen on {host}, port {port}: {error.strerror}; choose another `port` (0: any free one), or "
            "a `host` that is this machine's"
        ) from error
    listening.listen(BACKLOG)
    return listening


def _name(host: str) -> str:
    """What to call this machine in an address."""
    if host in ("0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
