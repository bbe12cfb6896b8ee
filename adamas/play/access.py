"""Who may come in: the check of every request before anything else sees it."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from urllib.parse import quote, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adamas.core.errors import UserError

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
    was made to point here is refused. With a token, every request must bring it, in the address once
    (``/?token=...``) and from then on in a cookie. In both cases, a request from another site's page is refused unless
    that page's origin is in ``allowed``, which holds the addresses of proxies and forwarded ports. A WebSocket must say
    which page it comes from.
    """

    def __init__(self, app: ASGIApp, token: str | None, port: int, allowed: Collection[str] = ()) -> None:
        self._app = app
        self._token = token
        self._allowed = frozenset(allowed)
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
            response = RedirectResponse(_without_token(connection), 303, dict(HEADERS))
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
        if origin is not None and origin not in self._allowed and _place(origin) != host:
            return (
                "another site's page may not come in; behind a proxy, start adamas play with --allow-origin"
            )
        if self._token is not None:
            brought = connection.query_params.get("token") or connection.cookies.get(self._cookie, "")
            if not secrets.compare_digest(brought.encode(), self._token.encode()):
                return "no token, or a wrong one; open the address that adamas play printed"
        return ""


def _place(origin: str) -> str | None:
    """Host and port of an origin; None if it has none, as "null" has."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:  # such as http://[
        return None


def _without_token(connection: HTTPConnection) -> str:
    """The address asked for, but for its token. It is relative: a proxy may show it below a path of its own."""
    last = connection.scope["path"].rpartition("/")[2]
    rest = urlencode([item for item in connection.query_params.multi_items() if item[0] != "token"])
    return f"./{quote(last)}" + (f"?{rest}" if rest else "")


def check_origin(origin: str) -> str:
    """An origin as browsers write it: scheme, host, and the port if it is not the usual one.

    Raises:
        UserError: it is none.
    """
    try:
        parts = urlsplit(origin.lower())
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    plain = parts.path in ("", "/") and not (parts.query or parts.fragment or parts.username)
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain:
        raise UserError(f"allow_origin is {origin!r}; give scheme and host, such as https://play.example.org")
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{name}" + (f":{port}" if port not in (None, usual) else "")


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            names = Headers(raw=message["headers"])
            extra = [(name.encode(), value.encode()) for name, value in HEADERS.items() if name not in names]
            message = {**message, "headers": [*message["headers"], *extra]}
        await send(message)

    return sending
