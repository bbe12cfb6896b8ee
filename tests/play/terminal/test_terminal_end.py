"""Playing in a terminal from beginning to end: what it needs, and every way out."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

pytest.importorskip("textual")

from adamas.core.errors import UserError
from adamas.play.engine import Engine
from adamas.play.messages import Record, Settings
from adamas.play.scene import PlayContext
from adamas.play.session import Session
from adamas.play.terminal import Terminal, play_in_terminal
from tests.helpers.server_messages import HELLO
from tests.helpers.terminal_player import Script, Seen, run


@pytest.fixture
def in_terminal(shared: PlayContext, monkeypatch: pytest.MonkeyPatch) -> Callable[[Script], None]:
    """``play_in_terminal``, with a script instead of a terminal."""
    engine = Engine(replace(shared, settings=Settings(fps=60, denoising_steps=2)))

    def play(script: Script) -> None:
        for stream in (sys.stdin, sys.stdout, sys.stderr):
            monkeypatch.setattr(stream, "isatty", lambda: True)
        monkeypatch.setattr(Terminal, "run", lambda app, mouse: run(app, engine, script, (80, 24)))
        play_in_terminal(engine, HELLO)

    return play


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize("key", ["q", "ctrl+c", "ctrl+q"])
def test_quitting_ends_the_thread_and_keeps_what_is_recorded(
    key: str, in_terminal: Callable[[Script], None], capsys: pytest.CaptureFixture[str]
) -> None:
    apps: list[Terminal] = []

    async def script(seen: Seen) -> None:
        apps.append(seen.app)
        assert "engine" in threads()
        await seen.press("o", lambda: seen.header.recording and "recording" in seen.text("panel"))
        await seen.press("o", lambda: seen.text("line").startswith("recorded: episode 0 of played-dream"))
        await seen.until(lambda: not seen.header.recording)
        await seen.press("o", lambda: seen.header.recording)
        age = seen.header.dream.age
        await seen.until(lambda: seen.header.dream.age > age)
        await seen.press(key, lambda: not seen.app.is_running)
        assert seen.asked == [Record(True), Record(False), Record(True)]

    in_terminal(script)
    assert "engine" not in threads()
    assert capsys.readouterr().out.startswith("recorded: episode 1 of played-dream, ")
    apps[0]._newest.append(apps[0]._update)  # type: ignore[arg-type]
    apps[0]._refresh_view()  # a timer that comes late finds no widgets, and does not mind


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs the signals of Unix")
def test_a_lost_connection_is_a_way_to_quit(in_terminal: Callable[[Script], None]) -> None:
    async def script(seen: Seen) -> None:
        assert all(signal.getsignal(s) is not signal.SIG_DFL for s in (signal.SIGHUP, signal.SIGTERM))
        os.kill(os.getpid(), signal.SIGHUP)
        await seen.until(lambda: not seen.app.is_running)

    in_terminal(script)
    assert "engine" not in threads()


def test_an_error_of_the_engine_ends_the_application(
    in_terminal: Callable[[Script], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def choose(session: Session) -> int:
        raise UserError("the disk is on fire; put it out")

    monkeypatch.setattr(Session, "choose", choose)

    async def script(seen: Seen) -> None:
        await seen.until(lambda: not seen.app.is_running)

    with pytest.raises(UserError, match="the disk is on fire"):
        in_terminal(script)
    assert "engine" not in threads()


def test_a_fault_of_the_application_is_no_success(
    in_terminal: Callable[[Script], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Terminal, "return_code", 1)  # Textual has printed the traceback by then

    async def script(seen: Seen) -> None:
        await seen.press("q", lambda: not seen.app.is_running)

    with pytest.raises(SystemExit, match="1"):
        in_terminal(script)
    assert "engine" not in threads()


@pytest.mark.parametrize("name", ["stdin", "stdout", "stderr"])
def test_a_terminal_is_needed(name: str, shared: PlayContext, monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(getattr(sys, stream), "isatty", lambda stream=stream: stream != name)
    with pytest.raises(UserError, match=f"^{name} is not a terminal; run adamas play --terminal in one"):
        play_in_terminal(Engine(shared), HELLO)
