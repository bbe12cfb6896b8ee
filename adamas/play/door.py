"""Who may come in: the check of every request before anything else sees it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL_NAMES = {"localhost", "127.0.0.1", "[::1]"}
HEADERS: Mapping[str, str] = {
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


class Door:
    """ASGI middleware.

    Without a token, only this machine reaches the server, and only under its own names: a foreign page whose name
    was made to point here is refused. With one, every request must bring it, in the address once (``/?token=...``)
    and from then on in a cookie. A request that another site's page makes is refused either way; a WebSocket must
    say which page it comes from.
    """

    def __init__(self, app: ASGIApp, token: str | None, port: int) -> None:
        self._app = app
        self._token = token
        self._cookie = f"adamas-{port}"  # cookies know hosts but not ports

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or hand on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        problem = self._problem(connection)
        if scope["type"] == "websocket":
            if problem:
                await send(
                    {"type": "websocket.close", "code": 1008, "reason": problem}
                )  # before it is open: 403
            else:
                await self._app(scope, receive, send)
        elif problem:
            await JSONResponse({"error": problem}, 403, dict(HEADERS))(scope, receive, send)
        elif self._token and "token" in connection.query_params:
            # Out of the address, so that nobody copies it with that.
            response = RedirectResponse(scope["path"], 303, dict(HEADERS))
            response.set_cookie(self._cookie, self._token, httponly=True, samesite="strict")
            await response(scope, receive, send)
        else:
            await self._app(scope, receive, _with_headers(send))

    def _problem(self, connection: HTTPConnection) -> str:
        """Why the request is refused, in one line; empty if it is not."""
        host = connection.headers.get("host", "")
        origin = connection.headers.get("origin")
        if self._token is None and host.rpartition(":")[0] not in LOCAL_NAMES and host not in LOCAL_NAMES:
            return "this server answers to localhost alone; start it with --host to reach it by another name"
        if origin is None and connection.scope["type"] == "websocket":
            return "a WebSocket must say which page it comes from"
        if origin is not None and urlsplit(origin).netloc != host:
            return "another site's page may not come in"
        if self._token is not None:
            brought = connection.query_params.get("token") or connection.cookies.get(self._cookie, "")
            if not secrets.compare_digest(brought.encode(), self._token.encode()):
                return "no token, or a wrong one; open the address that adamas play printed"
        return ""


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            names = Headers(raw=message["headers"])
            extra = [(name.encode(), value.encode()) for name, value in HEADERS.items() if name not in names]
            message = {**message, "headers": [*message["headers"], *extra]}
        await send(message)

    return sending
