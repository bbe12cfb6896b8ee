"""What the lines of the terminal say of an update."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("textual")

from adamas.play import terminal, terminal_widgets
from adamas.play.messages import ChangeView
from adamas.play.scene import PlayContext
from tests.helpers.clock import Clock
from tests.helpers.server_messages import DREAM, HEADER, HELLO
from tests.helpers.terminal_player import Seen, play, texts


def test_bars_are_exact_to_an_eighth() -> None:
    assert [terminal_widgets.bar(p, 2) for p in (0, 1 / 16, 0.5, 13 / 16, 1)] == [
        "  ",
        "▏ ",
        "█ ",
        "█▋",
        "██",
    ]
    assert terminal_widgets.columns([0, 0.12, 0.13, 0.99, 1]) == "▁▁▂██"


def test_what_is_said_of_an_update() -> None:
    assert texts(terminal_widgets.brief(HELLO, HEADER)) == [
        "agent: right  recording",
        "V -0.25  H 0.69  ▅▁▅",
        "-1 0%  +1 25%  end 2%  N 3  15 fps",
    ]
    beside = texts(terminal_widgets.panel(HELLO, replace(HEADER, difference=3.14), 30))
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
    header = replace(HEADER, dream=None, action=None, control="human", paused=True)
    assert texts(terminal_widgets.brief(HELLO, header))[::2] == [
        "you: (start)  paused  recording",
        "N 3  15 fps",
    ]
    assert not any("chances" in line for line in texts(terminal_widgets.panel(HELLO, header, 30)))
    unknown = replace(HEADER, dream=replace(DREAM, reward_probabilities=None, end_probability=None))
    assert texts(terminal_widgets.brief(HELLO, unknown))[-1] == "N 3  15 fps"


def test_captions_are_as_long_as_there_is_room() -> None:
    world = replace(DREAM, over="ended")
    words = "dream: reward +1 return 3 step 17 ended"
    assert terminal_widgets.caption("dream", world, len(words)) == words
    assert terminal_widgets.caption("dream", world, len(words) - 1) == "dream +1 3 17 ended"


def test_without_a_policy_and_rewards_nothing_is_said_of_them() -> None:
    dream = replace(DREAM, reward=None, total=None, reward_probabilities=None)
    header = replace(HEADER, control="human", policy=None, dream=dream)
    assert texts(terminal_widgets.brief(HELLO, header)) == [
        "you: right  recording",
        "",
        "N 3  15 fps",
    ]
    beside = texts(terminal_widgets.panel(replace(HELLO, has_rewards=False), header, 30))
    assert not any("value" in line or "policy" in line or "chances" in line for line in beside)
    assert terminal_widgets.caption("dream", dream, 40) == "dream: step 17"


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

    play(shared, script, views=("dream",), why_no_real="ale-py is not [installed]")
