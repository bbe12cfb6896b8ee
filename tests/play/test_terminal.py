"""Playing in a terminal: the pixels in its cells, the keys, and the way out."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("textual")

from textual import constants
from textual.geometry import Region
from textual.pilot import Pilot
from textual.strip import Strip

from adamas.core.errors import UserError
from adamas.play import terminal, terminal_widgets
from adamas.play.engine import Engine, Player
from adamas.play.messages import (
    Action,
    ChangeSettings,
    ChangeView,
    Control,
    Fork,
    Pause,
    Record,
    Request,
    Reset,
    Settings,
    Step,
)
from adamas.play.scene import PlayContext
from adamas.play.session import Session
from adamas.play.terminal import Pressed, Terminal, play_in_terminal

HELLO: dict[str, Any] = {
    "title": "tiny",
    "game": "breakout (minatar)",
    "actions": ["noop", "left", "right"],
    "views": ["dream", "both", "real"],
    "why_no_real": "",
    "has_rewards": True,
}
HEADER: dict[str, Any] = {
    "control": "agent",
    "paused": False,
    "recording": True,
    "settings": {"steps": 3},
    "action": 2,
    "policy": {"probabilities": [0.5, 0.0, 0.5], "value": -0.25, "entropy": 0.6931},
    "dream": {
        **{"reward": 1.0, "return": 3.0, "age": 17, "over": ""},
        **{"reward_probabilities": [0.0, 0.75, 0.25], "end_probability": 0.02},
    },
    "speed": {"fps": 14.9, "ms": 8.2, "players": 1},
}


@pytest.fixture(autouse=True)
def all_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "COLOR_SYSTEM", "truecolor")


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The application's clock; it stands still unless it is set."""
    clock = Clock()
    monkeypatch.setattr(terminal, "time", clock)
    return clock


# --- cells ---------------------------------------------------------------------------------------------------


def colours(lines: list[Strip]) -> np.ndarray:
    """The pixels (2 R, C, 3) that R lines show; all cells must be half blocks."""
    rows = []
    for line in lines:
        upper, lower = [], []
        for text, style, _ in line:
            assert set(text) == {"▀"} and style is not None and style.color and style.bgcolor
            upper += [tuple(style.color.get_truecolor())] * len(text)
            lower += [tuple(style.bgcolor.get_truecolor())] * len(text)
        rows += [upper, lower]
    return np.array(rows)


def test_every_cell_shows_two_pixels() -> None:
    frame = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    frame[0:2, 1] = frame[0:2, 0]  # so that two cells are alike
    lines = terminal_widgets.half_blocks(frame)
    assert len(lines) == 2 and all(line.cell_length == 4 for line in lines)
    first, second, third = list(lines[0])
    assert (first.text, second.text, third.text) == ("▀▀", "▀", "▀")
    assert first.style is not None and first.style.color and first.style.bgcolor
    assert first.style.color.get_truecolor() == (0, 1, 2)  # row 0, column 0
    assert first.style.bgcolor.get_truecolor() == (12, 13, 14)  # row 1, column 0
    assert np.array_equal(colours(lines), frame)


def test_frames_are_enlarged_by_whole_factors_in_the_middle() -> None:
    frame = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    shown = terminal_widgets.fit(frame, 6, 11)  # 3.67 times as wide, 3 times as high
    assert shown.shape == (6, 11, 3)
    assert (shown[:, [0, 10]] == terminal_widgets.SURROUND).all()
    assert np.array_equal(shown[:, 1:10], np.kron(frame, np.ones((3, 3, 1), np.uint8)))
    shown = terminal_widgets.fit(frame, 2, 3)
    assert np.array_equal(shown, frame)


def test_frames_too_large_become_means() -> None:
    frame = np.zeros((4, 8, 3), np.uint8)
    frame[:2, :2, 0] = [[10, 20], [30, 40]]
    shown = terminal_widgets.fit(frame, 2, 6)  # half as high: so half as wide
    assert shown.shape == (2, 6, 3) and shown[0, 1].tolist() == [25, 0, 0]
    assert (shown[:, [0, 5]] == terminal_widgets.SURROUND).all() and shown[:, 1:5].sum() == 25
    assert terminal_widgets.fit(frame, 2, 1).shape == (2, 1, 3)  # never less than a pixel


def test_bars_are_exact_to_an_eighth() -> None:
    assert [terminal_widgets.bar(p, 2) for p in (0, 1 / 16, 0.5, 13 / 16, 1)] == [
        "  ",
        "▏ ",
        "█ ",
        "█▋",
        "██",
    ]
    assert terminal_widgets.columns([0, 0.12, 0.13, 0.99, 1]) == "▁▁▂██"


# --- words ---------------------------------------------------------------------------------------------------


def texts(lines: list[terminal_widgets.Line]) -> list[str]:
    return [line.text if isinstance(line, Strip) else line[0] for line in lines]


def test_what_is_said_of_a_moment() -> None:
    assert texts(terminal_widgets.brief(HEADER, HELLO["actions"])) == [
        "agent: right  recording",
        "V -0.25  H 0.69  ▅▁▅",
        "-1 0%  +1 25%  end 2%  N 3  15 fps",
    ]
    beside = texts(terminal_widgets.panel(HELLO, {**HEADER, "difference": 3.14}, 30))
    assert beside[:5] == [
        "tiny",
        "breakout (minatar)",
        "",
        "agent: right  recording",
        "15 fps  denoising steps 3",
    ]
    assert "-1 0%  +1 25%  end 2%" in beside and "off by 3.1 of 255" in beside
    assert beside[-4:-2] == ["value -0.25  entropy 0.69", "noop          █████        50%"]
    assert all(len(line) <= terminal.PANEL - 2 for line in beside)
    assert texts(terminal_widgets.panel(HELLO, HEADER, 13))[-1] == "▅▁▅"  # no room for bars


def test_what_is_said_of_the_first_moment_of_a_game() -> None:
    header = {name: value for name, value in HEADER.items() if name != "dream"}
    header |= {"action": None, "control": "human", "paused": True}
    assert texts(terminal_widgets.brief(header, HELLO["actions"]))[::2] == [
        "you: (start)  paused  recording",
        "N 3  15 fps",
    ]
    assert not any("chances" in line for line in texts(terminal_widgets.panel(HELLO, header, 30)))
    unknown = {**HEADER, "dream": {**HEADER["dream"], "reward_probabilities": None, "end_probability": None}}
    assert texts(terminal_widgets.brief(unknown, HELLO["actions"]))[-1] == "N 3  15 fps"


def test_captions_are_as_long_as_there_is_room() -> None:
    world = {**HEADER["dream"], "over": "ended"}
    words = "dream: reward +1 return 3 step 17 ended"
    assert terminal_widgets.caption("dream", world, len(words)) == words
    assert terminal_widgets.caption("dream", world, len(words) - 1) == "dream +1 3 17 ended"


# --- keys ----------------------------------------------------------------------------------------------------


def test_keys_pressed_together_are_one_action() -> None:
    actions = ["noop", "fire", "up", "left", "upleft", "upleftfire"]
    pressed = Pressed(actions)

    def name(now: float) -> str | None:
        action = pressed.action(now)
        return None if action is None else actions[action]

    assert name(0.0) is None
    for now, key in ((0.0, "left"), (0.1, "up"), (0.2, "fire")):
        assert pressed.press(key, now)
    assert name(0.2) == "upleftfire"
    assert name(0.26) == "fire"  # upfire is no action: the newer of the two counts
    pressed.press("up", 0.3)
    pressed.press("left", 0.31)
    assert name(0.44) == "upleftfire"
    assert name(0.46) == "upleft"
    assert name(0.555) == "left"
    assert name(0.57) is None
    pressed.press("right", 0.6)
    assert name(0.6) is None  # the game has none
    pressed.press("left", 0.61)
    assert name(0.61) == "left"


def test_digits_are_actions_by_number() -> None:
    pressed = Pressed(["noop", "left", "right"])
    assert pressed.press("left", 0.0) and pressed.press("2", 0.1)
    assert pressed.action(0.1) == 2  # the newest
    assert pressed.press("left", 0.2) and pressed.action(0.2) == 1
    assert pressed.press("7", 0.3) and pressed.action(0.3) is None
    assert not pressed.press("c", 0.4) and not pressed.press("f5", 0.4) and not pressed.press("²", 0.4)


# --- the application -----------------------------------------------------------------------------------------


class Seen:
    """A running application, and what it asked for."""

    def __init__(self, app: Terminal, pilot: Pilot[None], asked: list[Request]) -> None:
        self.app, self.pilot, self.asked = app, pilot, asked

    @property
    def header(self) -> Any:
        return self.app._moment.header if self.app._moment else None

    async def until(self, condition: Callable[[], object]) -> None:
        for _ in range(500):
            if condition():
                return
            await self.pilot.pause(0.01)
        raise AssertionError("it does not happen")

    async def press(self, key: str, condition: Callable[[], object]) -> None:
        """Press a key, and wait for what it must bring about. (The pilot's own way waits for the process to idle.)"""
        self.app.simulate_key(key)
        await self.until(condition)

    def text(self, name: str) -> str:
        """What some lines say; empty if they are not shown."""
        lines = self.app.query_one(f"#{name}", terminal_widgets.Lines)
        if not lines.region:
            return ""
        return " ".join(lines.render_line(y).text.strip() for y in range(lines.size.height)).strip()

    def pixels(self, name: str) -> np.ndarray:
        """Those of a picture, without its caption."""
        picture = self.app.query_one(f"#{name}", terminal_widgets.Picture)
        return colours([picture.render_line(y) for y in range(1, picture.size.height)])


Script = Callable[[Seen], Awaitable[None]]


def run(app: Terminal, engine: Engine, script: Script, size: tuple[int, int]) -> None:
    """Run the application headlessly, and the script when it shows something."""
    asked: list[Request] = []
    pass_on = engine.request

    def noting(player: Player, request: Request) -> None:
        asked.append(request)
        pass_on(player, request)

    engine.request = noting  # type: ignore[method-assign]

    async def main() -> None:
        async with app.run_test(size=size) as pilot:
            seen = Seen(app, pilot, asked)
            await seen.until(lambda: seen.header or app.failed.is_set())
            await script(seen)

    asyncio.run(main())


def play(shared: PlayContext, script: Script, size: tuple[int, int] = (80, 24), **hello: Any) -> None:
    """Play on an engine of one's own."""
    engine = Engine(replace(shared, settings=Settings(fps=60, steps=2)))
    app = Terminal(engine, {**HELLO, **hello})
    with engine.running(app.failed.set):
        run(app, engine, script, size)
    assert not app.failed.is_set()


def test_pictures_are_those_of_the_newest_moment(shared: PlayContext) -> None:
    async def script(seen: Seen) -> None:
        await seen.press("v", lambda: seen.header["view"] == "both")
        await seen.press("p", lambda: seen.header["paused"])
        await seen.pilot.pause(0.1)
        assert seen.app._moment
        for name, image in zip(("dream", "real"), seen.app._moment.images, strict=True):
            assert image.any()
            enlarged = np.kron(image, np.ones((3, 3, 1), np.uint8))  # 44 x 38 pixels for 10 x 10
            assert np.array_equal(seen.pixels(name), terminal_widgets.fit(enlarged, 38, 44))
            assert np.array_equal(seen.pixels(name)[4:34, 7:37], enlarged)
            assert seen.text(name).startswith(f"{name}: reward ")
            caption = list(seen.app.query_one(f"#{name}", terminal_widgets.Picture).render_line(0))
            grounds = [segment.style.bgcolor.get_truecolor() for segment in caption]  # type: ignore[union-attr]
            assert set(grounds) == {(terminal_widgets.SURROUND,) * 3}

    play(shared, script, (120, 21))


def test_keys_ask_for_everything(shared: PlayContext) -> None:
    async def script(seen: Seen) -> None:
        now = lambda: seen.header  # noqa: E731
        await seen.press("p", lambda: now()["paused"] and "paused" in seen.text("panel"))
        age = now()["dream"]["age"]
        await seen.press("n", lambda: now()["dream"]["age"] == age + 1)
        await seen.press("r", lambda: now()["dream"]["age"] == 0 and "(start)" in seen.text("panel"))
        await seen.press("plus", lambda: "denoising steps 3" in seen.text("panel"))
        await seen.press("minus", lambda: "denoising steps 2" in seen.text("panel"))
        await seen.press("minus", lambda: "denoising steps 1" in seen.text("panel"))
        await seen.press("minus", lambda: "steps is 0; it must lie in [1, 50]" in seen.text("line"))
        await seen.press("f", lambda: "there is no game beside the dream" in seen.text("line"))
        await seen.press("v", lambda: now()["view"] == "both" and seen.text("real"))
        await seen.press("v", lambda: now()["view"] == "real" and not seen.text("dream"))
        await seen.press("f", lambda: now()["view"] == "both" and seen.text("dream"))
        await seen.press("c", lambda: "you: " in seen.text("brief"))
        await seen.press("c", lambda: "agent: " in seen.text("brief"))
        await seen.press("p", lambda: not now()["paused"])
        await seen.press("n", lambda: now()["paused"])
        assert seen.asked == [
            *(Pause(True), Step(), Reset()),
            *(
                ChangeSettings({"steps": 3}),
                ChangeSettings({"steps": 2}),
                ChangeSettings({"steps": 1}),
                ChangeSettings({"steps": 0}),
            ),
            *(Fork(), ChangeView("both"), ChangeView("real"), Fork()),
            *(Control("human"), Control("agent"), Pause(False), Pause(True)),
        ]

    play(shared, script)


def test_an_action_is_held_until_the_key_is_old(shared: PlayContext, clock: Clock) -> None:
    async def script(seen: Seen) -> None:
        await seen.press("c", lambda: seen.header["control"] == "human")
        await seen.press("a", lambda: seen.header["action"] == 1 and "you: left" in seen.text("panel"))
        clock.now += 0.2
        await seen.press("A", lambda: seen.app._pressed._times == {"left": 0.2})  # held down
        clock.now += 0.2
        age = seen.header["dream"]["age"]
        await seen.until(lambda: seen.header["dream"]["age"] > age + 2)
        assert seen.header["action"] == 1
        clock.now += 0.1
        await seen.until(lambda: seen.header["action"] == 0)  # noop
        await seen.press("2", lambda: "you: right" in seen.text("panel"))
        await seen.press("left", lambda: seen.header["action"] == 1)
        actions = [request for request in seen.asked if isinstance(request, Action)]
        assert actions == [Action(1, 1), Action(None, 2), Action(2, 3), Action(1, 4)]

    play(shared, script)


def test_a_key_takes_over_from_the_agent(shared: PlayContext) -> None:
    async def script(seen: Seen) -> None:
        assert seen.header["control"] == "agent"
        await seen.press("right", lambda: seen.header["control"] == "human" and seen.header["action"] == 2)
        assert seen.asked[:2] == [Control("human"), Action(2, 1)]

    play(shared, script)


def test_without_a_policy_and_rewards_nothing_is_said_of_them() -> None:
    dream = {**HEADER["dream"], "reward": None, "return": None, "reward_probabilities": None}
    header = {**HEADER, "control": "human", "policy": None, "dream": dream}
    assert texts(terminal_widgets.brief(header, HELLO["actions"])) == [
        "you: right  recording",
        "",
        "N 3  15 fps",
    ]
    beside = texts(terminal_widgets.panel({**HELLO, "has_rewards": False}, header, 30))
    assert not any("value" in line or "policy" in line or "chances" in line for line in beside)
    assert terminal_widgets.caption("dream", dream, 40) == "dream: step 17"


def test_an_action_waits_for_the_next_step_however_late(shared: PlayContext, clock: Clock) -> None:
    async def script(seen: Seen) -> None:
        await seen.press("c", lambda: seen.header["control"] == "human")
        await seen.press("p", lambda: seen.header["paused"])
        await seen.press("right", lambda: seen.asked[-1] == Action(2, 1))
        clock.now += 1
        await seen.pilot.pause(0.1)
        age = seen.header["dream"]["age"]
        await seen.press("n", lambda: seen.header["dream"]["age"] == age + 1)
        assert seen.header["action"] == 2
        await seen.until(lambda: seen.asked[-1] == Action(None, 2))

    play(shared, script)


def test_notices_stay_for_a_while(shared: PlayContext, clock: Clock) -> None:
    async def script(seen: Seen) -> None:
        assert seen.text("line") == terminal.HINT
        await seen.press("v", lambda: seen.text("line") == "ale-py is not [installed]")
        clock.now += terminal.NOTICE - 1
        await seen.pilot.pause(0.1)
        assert seen.text("line") == "ale-py is not [installed]"
        clock.now += 2
        await seen.until(lambda: seen.text("line") == terminal.HINT)
        await seen.press("question_mark", lambda: seen.text("help").startswith("arrows, wasd"))
        await seen.press("question_mark", lambda: not seen.text("help"))
        assert not any(isinstance(request, ChangeView) for request in seen.asked)

    play(shared, script, views=["dream"], why_no_real="ale-py is not [installed]")


@pytest.mark.parametrize(("system", "number"), [("256", 256), ("standard", 16)])
def test_terminals_of_few_colours_are_told(
    system: str, number: int, shared: PlayContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "COLOR_SYSTEM", system)

    async def script(seen: Seen) -> None:
        await seen.until(lambda: f"reports {number} colours" in seen.text("line"))
        await seen.until(lambda: seen.text("line").endswith("set COLORTERM=truecolor"))

    play(shared, script)


def test_forty_by_twelve_cells_will_do(shared: PlayContext) -> None:
    async def script(seen: Seen) -> None:
        await seen.press("v", lambda: seen.text("real"))
        await seen.until(lambda: seen.text("brief"))
        assert not seen.text("panel") and not seen.text("small")
        assert all("agent" in seen.text("brief") and seen.text(name) for name in ("dream", "real", "line"))
        assert seen.pixels("dream").shape == (14, 20, 3)
        await seen.press("p", lambda: seen.header["paused"])
        await seen.pilot.resize_terminal(39, 12)
        await seen.until(lambda: seen.text("small") == "40x12 cells needed; here 39x12")
        assert not any(seen.text(name) for name in ("dream", "real", "brief", "line"))
        await seen.pilot.resize_terminal(120, 40)
        await seen.until(lambda: seen.text("panel").startswith("tiny") and seen.text("dream"))
        assert not seen.text("small") and not seen.text("brief")
        assert seen.pixels("dream").shape == (76, 44, 3)

    play(shared, script, (40, 12))


def test_only_lines_that_change_are_drawn(shared: PlayContext, monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(seen: Seen) -> None:
        lines = seen.app.query_one("#brief", terminal_widgets.Lines)
        drawn: list[Region] = []
        lines.put([("a", terminal_widgets.PLAIN), ("b", terminal_widgets.PLAIN)])
        monkeypatch.setattr(lines, "refresh", lambda *regions: drawn.extend(regions or [None]))
        lines.put([("a", terminal_widgets.PLAIN), ("c", terminal_widgets.PLAIN)])
        assert [region.y for region in drawn] == [1]
        lines.put([("a", terminal_widgets.PLAIN)])
        assert drawn[1:] == [None]  # all of them

    play(shared, script)


# --- from beginning to end -----------------------------------------------------------------------------------


@pytest.fixture
def in_terminal(shared: PlayContext, monkeypatch: pytest.MonkeyPatch) -> Callable[[Script], None]:
    """``play_in_terminal``, with a script instead of a terminal."""
    engine = Engine(replace(shared, settings=Settings(fps=60, steps=2)))

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
        await seen.press("o", lambda: seen.header["recording"] and "recording" in seen.text("panel"))
        await seen.press("o", lambda: seen.text("line").startswith("recorded: episode 0 of played-dream"))
        await seen.until(lambda: not seen.header["recording"])
        await seen.press("o", lambda: seen.header["recording"])
        age = seen.header["dream"]["age"]
        await seen.until(lambda: seen.header["dream"]["age"] > age)
        await seen.press(key, lambda: not seen.app.is_running)
        assert seen.asked == [Record(True), Record(False), Record(True)]

    in_terminal(script)
    assert "engine" not in threads()
    assert capsys.readouterr().out.startswith("recorded: episode 1 of played-dream, ")
    apps[0]._newest.append(apps[0]._moment)  # type: ignore[arg-type]
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
