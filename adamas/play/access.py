"""Access control: every request is checked here before any other code sees it."""

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


class AccessControl:
    """ASGI middleware that refuses requests of other machines and of other sites' pages.

    Without a token, the server answers only to this machine's own names. This stops DNS rebinding, in which a foreign
    page has its own host name resolve to this machine. With a token, every request must carry it: once in the address
    (``/?token=...``) and in a cookie from then on. In both cases, requests with another origin are refused, which
    stops cross-site request forgery (CSRF) and cross-site WebSocket hijacking. ``allowed`` lists further origins, those
    of proxies and forwarded ports. A WebSocket request without an origin is refused.
    """

    def __init__(self, app: ASGIApp, token: str | None, port: int, allowed: Collection[str] = ()) -> None:
        self._app = app
        self._token = token
        self._allowed = frozenset(allowed)
        self._cookie = f"adamas-{port}"  # browsers share cookies between the ports of a host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or pass it on to the application."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        problem = self._problem(connection)
        if scope["type"] == "websocket":
            if problem:
                await send(
                    {"type": "websocket.close", "code": 1008, "reason": problem}
                )  # a WebSocket that is closed before it is accepted is answered with 403
            else:
                await self._app(scope, receive, send)
        elif problem:
            await JSONResponse({"error": problem}, 403, dict(HEADERS))(scope, receive, send)
        elif self._token and "token" in connection.query_params:
            # Remove the token from the address bar, so that nobody shares it by copying the address.
            response = RedirectResponse(_without_token(connection), 303, dict(HEADERS))
            response.set_cookie(self._cookie, self._token, httponly=True, samesite="strict")
            await response(scope, receive, send)
        else:
            await self._app(scope, receive, _with_headers(send))

    def _problem(self, connection: HTTPConnection) -> str:
        """The reason for refusing the request, in one line; empty if it is allowed."""
        host = connection.headers.get("host", "")
        origin = connection.headers.get("origin")
        if self._token is None and host.rpartition(":")[0] not in LOCAL_NAMES and host not in LOCAL_NAMES:
            return "this server answers to localhost alone; start it with --host to reach it by another name"
        if origin is None and connection.scope["type"] == "websocket":
            return "a WebSocket request must have an Origin header"
        if origin is not None and origin not in self._allowed and _host_of(origin) != host:
            return "requests from other sites' pages are refused; behind a proxy, start adamas play with --allow-origin"
        if self._token is not None:
            brought = connection.query_params.get("token") or connection.cookies.get(self._cookie, "")
            if not secrets.compare_digest(brought.encode(), self._token.encode()):
                return "no token, or a wrong one; open the address that adamas play printed"
        return ""


def _host_of(origin: str) -> str | None:
    """Host and port of an origin; None for an origin without a host, such as "null"."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:  # such as http://[
        return None


def _without_token(connection: HTTPConnection) -> str:
    """The requested address without its token, as a relative one: a proxy may serve the page below a path."""
    last = connection.scope["path"].rpartition("/")[2]
    rest = urlencode([item for item in connection.query_params.multi_items() if item[0] != "token"])
    return f"./{quote(last)}" + (f"?{rest}" if rest else "")


def check_origin(origin: str) -> str:
    """Normalise an origin to the form that browsers send: scheme, host, and the port unless it is the default one.

    Raises:
        UserError: ``origin`` is not an origin.
    """
    try:
        parts = urlsplit(origin.lower())
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    plain = parts.path in ("", "/") and not (parts.query or parts.fragment or parts.username)
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain:
        raise UserError(
            f"`allow_origin` is {origin!r}; give scheme and host, such as https://play.example.org"
        )
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
