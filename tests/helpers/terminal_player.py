"""The application in a terminal without a terminal, and a script that presses its keys."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import numpy as np
from textual.pilot import Pilot
from textual.strip import Strip

from adamas.play import terminal_widgets
from adamas.play.engine import Engine, Player
from adamas.play.messages import Request, Settings
from adamas.play.scene import PlayContext
from adamas.play.terminal import Terminal
from tests.helpers.server_messages import HELLO


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


def texts(lines: list[terminal_widgets.Line]) -> list[str]:
    return [line.text if isinstance(line, Strip) else line[0] for line in lines]


class Seen:
    """A running application, and what it asked for."""

    def __init__(self, app: Terminal, pilot: Pilot[None], asked: list[Request]) -> None:
        self.app, self.pilot, self.asked = app, pilot, asked

    @property
    def header(self) -> Any:
        return self.app._update.header if self.app._update else None

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
    engine = Engine(replace(shared, settings=Settings(fps=60, denoising_steps=2)))
    app = Terminal(engine, replace(HELLO, **hello))
    with engine.running(app.failed.set):
        run(app, engine, script, size)
    assert not app.failed.is_set()
