"""Tables as people write them: other delimiters, names and numbers; keyboards and mice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("h5py")

from adamas.core.actions import ActionSpec, Axis, Choice
from adamas.core.errors import UserError
from tests.helpers.recordings import grey_of, greys, imported, write_csv, write_images

SPEC = ActionSpec(buttons=("fire",), axes=(Axis("steer", -1.0, 1.0),))
ACTIONS = [[0, -1.0], [1, 0.5], [1, 0.25], [0, 1.0]]


def shots(folder: Path, table: str, suffix: str = ".csv", count: int = 5) -> Path:
    """Images and a table in one folder."""
    write_images(folder / "shots", greys(count))
    (folder / "shots" / f"actions{suffix}").write_text(table, encoding="utf-8")
    return folder / "shots"


@pytest.mark.parametrize(
    "table",
    [
        "steer,fire\n-1,0\n0.5,1\n0.25,1\n1,0\n",
        "steer;fire\n-1;0\n0,5;1\n0,25;1\n1;0\n",  # decimal commas, as Excel writes in half of Europe
        "sep=;\nsteer;fire\n-1;0\n0.5;1\n0.25;1\n1;0\n",
        "steer\tfire\n-1\t0\n0.5\t1\n0.25\t1\n1\t0\n",
        'steer,fire\n-1,0\n"0,5",1\n"0,25",1\n1,0\n',
        " Steer , FIRE \n -1 , 0\n 0.5, 1\n 0.25, 1\n 1, 0\n",
        "\ufeffsteer,fire\r\n-1,0\r\n0.5,1\r\n0.25,1\r\n1,0\r\n",
        "# steer, fire\n-1.0e+00, 0\n5e-1, 1\n2.5E-1, 1\n+1, 0\n",  # numpy.savetxt
        ",steer,fire\n0,-1,0\n1,0.5,1\n2,0.25,1\n3,1,0\n",  # pandas
        "index,steer,fire\n7,-1,0\n8,0.5,1\n9,0.25,1\n10,1,0\n",
        "Unnamed: 0,Frame,steer,fire\n0,1,-1,0\n1,2,0.5,1\n2,3,0.25,1\n3,4,1,0\n",
        "steer,fire,\n-1,0,\n0.5,1,\n0.25,1,\n1,0,\n",  # a delimiter at every line's end
        "steer,fire\n-1,False\n0.5,TRUE\n0.25,true\n1,false\n",
        "\nsteer,fire\n-1,0\n\n0.5,1\n0.25,1\n1,0\n\n"[1:],
    ],
)
def test_csv_files_of_all_sorts(tmp_path: Path, table: str) -> None:
    store, notes = imported(shots(tmp_path, table))
    assert store.action_spec == SPEC and store.episode(0).action.tolist() == ACTIONS
    assert grey_of(store) == [0, 1, 2, 3, 4] and notes == []


@pytest.mark.parametrize(
    ("reward", "end", "terminated"),
    [
        ("Reward", "done", True),
        (" rewards ", "Dones", True),
        ("REWARD", "terminal", True),
        ("next.reward", "next.done", True),
        ("reward", "Truncated", False),
        ("reward", "timeout", False),
    ],
)
def test_rewards_and_ends_by_other_names(tmp_path: Path, reward: str, end: str, terminated: bool) -> None:
    store, _ = imported(shots(tmp_path, f"action,{reward},{end}\n1,0,0\n0,0,0\n2,0,0\n1,5,1\n"))
    episode = store.episode(0)
    assert store.action_spec == ActionSpec.numbered(3) and episode.reward.tolist() == [0, 0, 0, 5]
    assert (bool(episode.terminated[-1]), bool(episode.truncated[-1])) == (terminated, not terminated)


@pytest.mark.parametrize(
    ("columns", "terminated", "truncated"),
    [
        ({"done": 1}, True, False),
        ({"done": 1, "truncated": 0}, True, False),
        ({"done": 1, "truncated": 1}, False, True),  # as in Gym before 0.26: done because of the time limit
        ({"done": 1, "terminated": 0}, False, True),
        ({"done": 1, "terminated": 1, "truncated": 0}, True, False),
    ],
)
def test_what_done_means(tmp_path: Path, columns: dict[str, int], terminated: bool, truncated: bool) -> None:
    ends = ",".join(str(value) for value in columns.values())
    table = f"a,{','.join(columns)}\n0,{','.join('0' * len(columns))}\n1,{ends}\n"
    episode = imported(shots(tmp_path, table, count=3))[0].episode(0)
    assert (bool(episode.terminated[-1]), bool(episode.truncated[-1])) == (terminated, truncated)
    arrays: dict[str, Any] = {name: [0, value] for name, value in columns.items()}
    np.savez(tmp_path / "one.npz", obs=greys(3), action=[0, 1], **arrays)
    episode = imported(tmp_path / "one.npz")[0].episode(0)
    assert (bool(episode.terminated[-1]), bool(episode.truncated[-1])) == (terminated, truncated)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            "-1,0\n0.5,1\n0.25,1\n1,0\n",
            "row 1: '-1' is a value instead of the name of a column; .* action,reward",
        ),
        ("0\n1\n1\n0\n1\n", "row 1: '0' is a value"),
        ("left\nright\nleft\nleft\nright\n", "row 1: 'left' is a value"),
        ("left,0.5\nright,1\nup,1\nup,0\nup,1", "row 1: '0.5' is a value"),
        ("steer,,fire\n-1,5,0\n0.5,2,1\n0.25,9,1\n1,0,0\n", "row 1: column 2 has no name"),
        ("steer;fire\n-1;0\n0,5;1\n0.25;1\n1;0\n", "row 4: 0.25 has a decimal point, 0,5 a comma"),
        ("steer;fire\n1,234;0\n2,345;1\n3,456;1\n1,000;0\n", "row 2: 1,234 may be 1234 or 1.234"),
        ("steer;fire\n-1;0\n1.000,5;1\n1;0\n1;0\n", r"row 3: steer is '1.000,5', not a number"),
        ("steer,fire\n-1,0\n0,5,1\n0,25,1\n1,0\n", "row 3: 3 cells, but the first row names 2 columns"),
        ("speed,fire\n3 km/h,0\n4 km/h,1\n5 km/h,1\n5 km/h,0\n", "row 2: speed is '3 km/h', not a number"),
        (
            "steer fire\n-1 0\n0.5 1\n0.25 1\n1 0\n",
            "row 2: steer fire is '-1 0', not a number; give plain numbers",
        ),
        ("at,fire\n2024-05-01 10:00:00,0\n2024-05-01 10:00:01,1\n", "row 2: at is '2024-05-01 10:00:00'"),
        ("steer,fire\n1_0,0\n2,1\n", "row 2: steer is '1_0', not a number"),
        ("fire,Fire\n1,0\n0,1\n", "'Fire' is a second column that means fire; rename one"),
        ("fire,reward,Rewards\n1,0,1\n0,1,0\n", "'Rewards' is a second column that means reward"),
        (
            "fire,done,terminated\n1,0,1\n0,1,0\n",
            "done and terminated contradict each other, first at step 0",
        ),
        ("fire,done\n1,0\n0,2\n", "done must be 0 or 1 in every row"),
        ("fire,done\n1,no\n0,yes\n", "done must be 0 or 1 in every row"),
        ("action\n" + "x" * 300 + "\ny\n", "row 2: action is a text of 300 characters"),
    ],
)
def test_csv_files_that_cannot_be_understood(tmp_path: Path, table: str, message: str) -> None:
    with pytest.raises(UserError, match=rf"actions\.csv.*{message}") as error:
        imported(shots(tmp_path, table))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("suffix", "table", "message"),
    [
        (".json", "[" * 100_000, "cannot be read as a JSON file"),
        (".json", '[{"a": 1' + "0" * 5000 + "}]", "cannot be read as a JSON file"),
        (".json", '[{"a": 1' + "0" * 400 + '}, {"a": 1}]', "row 1: a is 10000"),
        (".jsonl", '{"a": 1}\n\n{"b": 1}', "row 3: the columns differ from those of the first row"),
        (".jsonl", '{"a": [1, 2]}\n{"a": [1]}', "row 2: the columns differ from those"),
        (".jsonl", '{"a": 1}\n[]', "must hold a list of rows"),
        (
            ".jsonl",
            '{"keyboard": {"keys": []}, "mouse": {"dx": 1}}\n{"keyboard": {"keys": []}}',
            "row 2: 'mouse' is",
        ),
        (
            ".jsonl",
            '{"keyboard": {"keys": 5}}\n{"keyboard": {"keys": []}}',
            "row 1: keyboard.keys .* must be lists",
        ),
    ],
)
def test_json_files_that_cannot_be_understood(tmp_path: Path, suffix: str, table: str, message: str) -> None:
    with pytest.raises(UserError, match=rf"actions{suffix}.*{message}") as error:
        imported(shots(tmp_path, table, suffix))
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            "action\n1\n1712345678123\n0\n0\n",
            "actions.csv, row 3: action is 1712345678123, too large .* `axes` action",
        ),
        ("action\n1\n1e15\n0\n0\n", "row 3: action is 1000000000000000, too large"),
        ("steer,fire\n0.5,0\n1e300,1\n0,1\n0,0\n", r"row 3: steer is 1e\+300, too large for an axis"),
    ],
)
def test_one_huge_number(tmp_path: Path, table: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        imported(shots(tmp_path, table))


def test_a_huge_number_may_be_an_axis(tmp_path: Path) -> None:
    store, _ = imported(shots(tmp_path, "action\n1\n1712345678123\n0\n0\n"), axes=("Action",))
    assert store.action_spec == ActionSpec(axes=(Axis("action", 0.0, float(np.float32(1712345678123))),))


def test_texts_and_numbers_are_not_mixed(tmp_path: Path) -> None:
    for name, table in (("a", "move\nleft\nright\n"), ("b", "move\n0\n1\n")):
        shots(tmp_path / name, table, count=3)
    with pytest.raises(
        UserError, match=r"move holds texts in one of .*a/shots/actions.csv and .*b/shots/actions.csv"
    ):
        imported(tmp_path)


def test_columns_that_count_are_pointed_at(tmp_path: Path) -> None:
    table = "clock,steer\n" + "".join(f"{i / 30:.3f},{(i * 7) % 5}\n" for i in range(9))
    store, notes = imported(shots(tmp_path, table, count=10))
    assert store.action_spec is not None and store.action_spec.entries == ("clock", "steer")
    assert notes == [
        "clock grows in every row like a counter or a clock; if it is not part of the action, leave it out with "
        "`ignore` clock"
    ]


def test_lists_and_objects_become_columns(tmp_path: Path) -> None:
    rows = [
        {"action": [s, f], "pad": {"gas": g}} for f, s, g in ((0, -1.0, 0.5), (1, 0.5, 0), (1, 1.0, 0.25))
    ]
    store, _ = imported(shots(tmp_path, json.dumps(rows), ".json", count=4))
    axes = (Axis("action_0", -1.0, 1.0), Axis("pad.gas", 0.0, 0.5))
    assert store.action_spec == ActionSpec(buttons=("action_1",), axes=axes)
    assert store.episode(0).action.tolist() == [[0, -1, 0.5], [1, 0.5, 0], [1, 1, 0.25]]


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


def test_other_capitals_in_the_file_s_name(tmp_path: Path) -> None:
    store, _ = imported(shots(tmp_path, "fire\n0\n1\n1\n0\n", ".CSV"), buttons=("Fire",))
    assert store.action_spec == ActionSpec(buttons=("fire",))
    write_csv(tmp_path / "table.Csv", fire=[0, 1, 1, 0])
    (tmp_path / "shots" / "actions.CSV").unlink()
    (tmp_path / "imported shots").rename(tmp_path / "before")
    assert imported(tmp_path / "shots", tmp_path / "table.Csv")[0].num_transitions == 4
    (tmp_path / "imported shots").rename(tmp_path / "then")
    with pytest.raises(UserError, match=r"table\.txt has an unknown format; give a table in one of .csv"):
        imported(tmp_path / "shots", tmp_path / "table.txt")
