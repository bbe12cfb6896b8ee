"""The pixels in the cells of a terminal."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("textual")

from textual import constants
from textual.geometry import Region

from adamas.play import terminal_widgets
from adamas.play.scene import PlayContext
from tests.helpers.terminal_player import Seen, colours, play


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


def test_pictures_are_those_of_the_newest_update(shared: PlayContext) -> None:
    async def script(seen: Seen) -> None:
        await seen.press("v", lambda: seen.header.view == "both")
        await seen.press("p", lambda: seen.header.paused)
        await seen.pilot.pause(0.1)
        assert seen.app._update
        for name, image in zip(("dream", "real"), seen.app._update.images, strict=True):
            assert image.any()
            enlarged = np.kron(image, np.ones((3, 3, 1), np.uint8))  # 44 x 38 pixels for 10 x 10
            assert np.array_equal(seen.pixels(name), terminal_widgets.fit(enlarged, 38, 44))
            assert np.array_equal(seen.pixels(name)[4:34, 7:37], enlarged)
            assert seen.text(name).startswith(f"{name}: reward ")
            caption = list(seen.app.query_one(f"#{name}", terminal_widgets.Picture).render_line(0))
            grounds = [segment.style.bgcolor.get_truecolor() for segment in caption]  # type: ignore[union-attr]
            assert set(grounds) == {(terminal_widgets.SURROUND,) * 3}

    play(shared, script, (120, 21))


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
        await seen.press("p", lambda: seen.header.paused)
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
