"""The keys that play in a terminal."""

from __future__ import annotations

import pytest

pytest.importorskip("textual")

from adamas.play.messages import Action, ChangeSettings, ChangeView, Control, Fork, Pause, Reset, Step
from adamas.play.scene import PlayContext
from adamas.play.terminal import Pressed
from tests.helpers.clock import Clock
from tests.helpers.terminal_player import Seen, play


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


def test_keys_ask_for_everything(shared: PlayContext) -> None:
    async def script(seen: Seen) -> None:
        now = lambda: seen.header  # noqa: E731
        await seen.press("p", lambda: now().paused and "paused" in seen.text("panel"))
        age = now().dream.age
        await seen.press("n", lambda: now().dream.age == age + 1)
        await seen.press("r", lambda: now().dream.age == 0 and "(start)" in seen.text("panel"))
        await seen.press("plus", lambda: "denoising steps 3" in seen.text("panel"))
        await seen.press("minus", lambda: "denoising steps 2" in seen.text("panel"))
        await seen.press("minus", lambda: "denoising steps 1" in seen.text("panel"))
        await seen.press("minus", lambda: "`denoising_steps` is 0; it must be" in seen.text("line"))
        await seen.press("f", lambda: "there is no game beside the dream" in seen.text("line"))
        await seen.press("v", lambda: now().view == "both" and seen.text("real"))
        await seen.press("v", lambda: now().view == "real" and not seen.text("dream"))
        await seen.press("f", lambda: now().view == "both" and seen.text("dream"))
        await seen.press("c", lambda: "you: " in seen.text("brief"))
        await seen.press("c", lambda: "agent: " in seen.text("brief"))
        await seen.press("p", lambda: not now().paused)
        await seen.press("n", lambda: now().paused)
        assert seen.asked == [
            *(Pause(True), Step(), Reset()),
            *(
                ChangeSettings({"denoising_steps": 3}),
                ChangeSettings({"denoising_steps": 2}),
                ChangeSettings({"denoising_steps": 1}),
                ChangeSettings({"denoising_steps": 0}),
            ),
            *(Fork(), ChangeView("both"), ChangeView("real"), Fork()),
            *(Control("human"), Control("agent"), Pause(False), Pause(True)),
        ]

    play(shared, script)


def test_an_action_is_held_until_the_key_is_old(shared: PlayContext, clock: Clock) -> None:
    async def script(seen: Seen) -> None:
        await seen.press("c", lambda: seen.header.control == "human")
        await seen.press("a", lambda: seen.header.action == 1 and "you: left" in seen.text("panel"))
        clock.now += 0.2
        await seen.press("A", lambda: seen.app._pressed._times == {"left": 0.2})  # held down
        clock.now += 0.2
        age = seen.header.dream.age
        await seen.until(lambda: seen.header.dream.age > age + 2)
        assert seen.header.action == 1
        clock.now += 0.1
        await seen.until(lambda: seen.header.action == 0)  # noop
        await seen.press("2", lambda: "you: right" in seen.text("panel"))
        await seen.press("left", lambda: seen.header.action == 1)
        actions = [request for request in seen.asked if isinstance(request, Action)]
        assert actions == [Action(1, 1), Action(None, 2), Action(2, 3), Action(1, 4)]

    play(shared, script)


def test_a_key_takes_over_from_the_agent(shared: PlayContext) -> None:
    async def script(seen: Seen) -> None:
        assert seen.header.control == "agent"
        await seen.press("right", lambda: seen.header.control == "human" and seen.header.action == 2)
        assert seen.asked[:2] == [Control("human"), Action(2, 1)]

    play(shared, script)


def test_an_action_waits_for_the_next_step_however_late(shared: PlayContext, clock: Clock) -> None:
    async def script(seen: Seen) -> None:
        await seen.press("c", lambda: seen.header.control == "human")
        await seen.press("p", lambda: seen.header.paused)
        await seen.press("right", lambda: seen.asked[-1] == Action(2, 1))
        clock.now += 1
        await seen.pilot.pause(0.1)
        age = seen.header.dream.age
        await seen.press("n", lambda: seen.header.dream.age == age + 1)
        assert seen.header.action == 2
        await seen.until(lambda: seen.asked[-1] == Action(None, 2))

    play(shared, script)
