"""Who may come in, by what a request says of itself."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from adamas.core.errors import UserError
from adamas.play.access import AccessControl, check_origin

PROXY = "https://play.example.org"


def ask(
    path: str = "/",
    query: str = "",
    token: str | None = None,
    allowed: tuple[str, ...] = (),
    **headers: str,
) -> tuple[int, str]:
    """The status of the answer to a request, and where it leads."""
    answers: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Message) -> None:
        answers.append(message)

    async def receive() -> Any:
        raise AssertionError("nobody reads a body")

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
    }
    asyncio.run(AccessControl(app, token, 8421, allowed)(scope, receive, send))
    found = dict(answers[0]["headers"])
    return answers[0]["status"], found.get(b"location", b"").decode()


@pytest.mark.parametrize(
    "origin",
    ["http://[", "http://]", "http://[::1", "null", "", "//", "http://", "http://a@[b", "\xff", PROXY],
)
@pytest.mark.parametrize("host", ["127.0.0.1:8421", "localhost", ""])
def test_origins_that_are_none_do_not_come_in(origin: str, host: str) -> None:
    assert ask(host=host, origin=origin)[0] == 403
    assert ask(host=host, origin=origin, token="t", query="token=t")[0] == 403


def test_its_own_page_comes_in() -> None:
    assert ask(host="127.0.0.1:8421", origin="http://127.0.0.1:8421")[0] == 200
    assert ask(host="127.0.0.1:8421")[0] == 200


def test_a_page_behind_a_proxy_comes_in_with_the_token() -> None:
    behind: dict[str, Any] = {
        "host": "127.0.0.1:8421",
        "origin": PROXY,
        "token": "t",
        "cookie": "adamas-8421=t",
    }
    assert ask(**behind)[0] == 403
    assert ask(**behind, allowed=(PROXY,))[0] == 200
    assert ask(**{**behind, "cookie": ""}, allowed=(PROXY,))[0] == 403
    for other in ("http://play.example.org", f"{PROXY}:8443", f"{PROXY}.evil.org", "https://evil.org"):
        assert ask(**{**behind, "origin": other}, allowed=(PROXY,))[0] == 403


@pytest.mark.parametrize(
    ("path", "query", "location"),
    [
        ("/", "token=t", "./"),
        ("/static/main.js", "token=t", "./main.js"),
        ("/api/datasets/test", "start=5&token=t&count=2", "./test?start=5&count=2"),
        ("//evil.example.org", "token=t", "./evil.example.org"),  # and not another site
        ("/a b?c/d e?f", "token=t", "./d%20e%3Ff"),
    ],
)
def test_the_redirect_keeps_the_path(path: str, query: str, location: str) -> None:
    assert ask(path, query, "t", host="127.0.0.1:8421") == (303, location)


@pytest.mark.parametrize(
    ("word", "origin"),
    [
        ("https://Play.Example.org/", "https://play.example.org"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("https://a.example:443", "https://a.example"),
        ("http://[::1]:80/", "http://[::1]"),
    ],
)
def test_origins_are_written_as_browsers_do(word: str, origin: str) -> None:
    assert check_origin(word) == origin


@pytest.mark.parametrize(
    "word",
    [
        "",
        "play.example.org",
        "ftp://a",
        "https://",
        "https://a/b",
        "https://a?b",
        "http://[",
        "https://a:x",
        "*",
    ],
)
def test_what_is_no_origin(word: str) -> None:
    with pytest.raises(UserError, match=r"^`allow_origin` is .*; give scheme and host, such as https://"):
        check_origin(word)
