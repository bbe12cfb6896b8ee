"""Recordings of keyboards and mice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("av")
pytest.importorskip("h5py")

from adamas.core.actions import ActionSpec, Axis, Choice
from tests.helpers.recordings import imported, shots


def tick(
    keys: str = "", buttons: list[int] | None = None, dx: float = 0.0, dy: float = 0.0, **more: object
) -> str:
    """A line as the recordings of VPT have it."""
    names = [f"key.keyboard.{key}" for key in keys.split()]
    mouse = {
        "x": 640.0,
        "y": 360.0,
        "dx": dx,
        "dy": dy,
        "dwheel": 0.0,
        "buttons": buttons or [],
        "newButtons": [],
    }
    row = {"mouse": mouse, "keyboard": {"keys": names, "newKeys": [], "chars": ""}, "hotbar": 4, "tick": 7}
    return json.dumps(
        row | {"milli": 1649797533343, "isGuiOpen": False, "inventory": [], "stats": {"jump": 1}} | more
    )


def test_keyboard_and_mouse(tmp_path: Path) -> None:
    first = [tick("w"), tick("w left.shift", [0], 5.0, -2.5), tick("", [0, 1], -10.0, 4.0, hotbar=5)]
    shots(tmp_path / "a", "\n".join(first), ".jsonl", count=4)
    shots(tmp_path / "b", "\n".join([tick("space", [2]), tick("space", dx=1.0)]), ".jsonl", count=3)
    store, (note,) = imported(tmp_path)
    pressed = ("left_shift", "mouse_left", "mouse_middle", "mouse_right", "space", "w")
    axes = (Axis("mouse_dx", -10.0, 5.0), Axis("mouse_dy", -2.5, 4.0))
    assert store.action_spec == ActionSpec(buttons=pressed, axes=axes)
    assert store.episode(0).action.tolist() == [
        [0, 0, 0, 0, 0, 1, 0, 0],
        [1, 1, 0, 0, 0, 1, 5, -2.5],
        [0, 1, 0, 1, 0, 0, -10, 4],
    ]
    assert store.episode(1).action.tolist() == [[0, 0, 1, 0, 1, 0, 0, 0], [0, 0, 0, 0, 1, 0, 1, 0]]
    assert note.startswith(
        "left out, since they seem to be the game's state: hotbar, tick, milli, isguiopen;"
    )


def test_a_game_s_state_can_be_an_action(tmp_path: Path) -> None:
    rows = [tick("w", hotbar=1, reward=2), tick("s", hotbar=3, reward=0), tick("w", hotbar=2, reward=0)]
    store, _ = imported(
        shots(tmp_path, "\n".join(rows), ".jsonl", count=4), choices=("hotbar",), ignore=("S",)
    )
    assert store.action_spec == ActionSpec((Choice(("0", "1", "2", "3"), "hotbar"),), ("w",))
    assert store.episode(0).action.tolist() == [[1, 1], [3, 0], [2, 1]]
    assert store.episode(0).reward.tolist() == [2, 0, 0]


def test_a_mouse_of_which_only_the_place_is_known(tmp_path: Path) -> None:
    rows = [json.dumps({"mouse": {"x": x, "y": 5, "buttons": ["Left"][: x % 2]}}) for x in (1, 4, 8)]
    store, _ = imported(shots(tmp_path, "\n".join(rows), ".jsonl", count=4))
    assert store.action_spec == ActionSpec(buttons=("mouse_left",), axes=(Axis("mouse_x", 1.0, 8.0),))


@pytest.mark.parametrize("button", [-1, 3, "extra"])
def test_other_buttons_of_a_mouse_keep_their_names(tmp_path: Path, button: int | str) -> None:
    rows = [json.dumps({"mouse": {"buttons": given}}) for given in ([], [2, button], [button])]
    store, _ = imported(shots(tmp_path, "\n".join(rows), ".jsonl", count=4))
    other = f"mouse_{button}"
    assert store.action_spec == ActionSpec(buttons=tuple(sorted((other, "mouse_middle"))))
    pressed = [
        [name in held for name in store.action_spec.buttons]
        for held in ((), (other, "mouse_middle"), (other,))
    ]
    assert store.episode(0).action.tolist() == pressed
