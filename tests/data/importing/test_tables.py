"""Tables as people write them: other delimiters, names and numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("h5py")

from adamas.core.actions import ActionSpec, Axis
from adamas.core.errors import UserError
from tests.helpers.recordings import grey_of, greys, imported, shots, write_csv

SPEC = ActionSpec(buttons=("fire",), axes=(Axis("steer", -1.0, 1.0),))
ACTIONS = [[0, -1.0], [1, 0.5], [1, 0.25], [0, 1.0]]


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


@pytest.mark.parametrize("name", ["observation", "State", "observation.state", "obs.image.pixels"])
def test_observations_are_no_actions(tmp_path: Path, name: str) -> None:
    rows = [{"action": [a, -a], name: [0.1, a, 5.0], "info": {"lives": a}} for a in (0.5, 0.25, 1)]
    store, notes = imported(shots(tmp_path, json.dumps(rows), ".json", count=4))
    assert store.action_spec == ActionSpec(axes=(Axis("action_0", 0.25, 1.0), Axis("action_1", -1.0, -0.25)))
    state = [f"{name.lower()}_{i}" for i in range(3)]
    assert notes == [
        f"left out, since they seem to be the game's state: {', '.join(state)}, info.lives; keep them with `axes` "
        "or `buttons`"
    ]
    folder = shots(tmp_path / "again", json.dumps(rows), ".json", count=4)
    chosen = imported(folder, axes=(state[1], "action_0"), ignore=("action_1",))[0].action_spec
    assert chosen is not None and chosen.entries == ("action_0", state[1])


def test_a_number_called_state_is_an_action(tmp_path: Path) -> None:
    store, _ = imported(shots(tmp_path, "state,fire\n0.5,0\n1,1\n0.25,0\n", count=4))
    assert store.action_spec == ActionSpec(buttons=("fire",), axes=(Axis("state", 0.25, 1.0),))


@pytest.mark.parametrize(
    ("table", "ignore"),
    [
        ("steer,fire,note\n-1,0,\n0.5,1,oops\n0.25,1,3\n1,0,\n", ("note",)),  # texts, numbers and nothing
        (f"steer,fire,Note\n-1,0,{'x' * 300}\n0.5,1,y\n0.25,1,z\n1,0,z\n", ("note",)),
        ("steer,fire,at\n-1,0,2024-05-01\n0.5,1,2024-05-02\n0.25,1,2024-05-03\n1,0,2024-05-04\n", ("AT",)),
        ('steer,fire,price\n-1,0,"1,234"\n0.5,1,"2,345"\n0.25,1,"3,456"\n1,0,"4,567"\n', ("price",)),
        ("steer,fire,reward,Rewards\n-1,0,1,a\n0.5,1,2,b\n0.25,1,3,c\n1,0,4,d\n", ("reward",)),
        ("steer,fire,done\n-1,0,no\n0.5,1,no\n0.25,1,no\n1,0,yes\n", ("done",)),
    ],
)
def test_ignored_columns_may_hold_anything(tmp_path: Path, table: str, ignore: tuple[str, ...]) -> None:
    folder = shots(tmp_path, table)
    with pytest.raises(UserError):
        imported(folder)
    with pytest.raises(UserError, match="has no column 'nots'"):
        imported(folder, ignore=(*ignore, "nots"))
    store, _ = imported(folder, ignore=ignore)
    assert store.action_spec == SPEC and store.episode(0).action.tolist() == ACTIONS


def test_ignored_objects_may_change_from_row_to_row(tmp_path: Path) -> None:
    rows = [
        {"steer": s, "fire": f, "events": [s] * i, "pad": {"gas": 1, "mode": None}}
        for i, (f, s) in enumerate(ACTIONS)
    ]
    folder = shots(tmp_path, json.dumps(rows), ".json")
    store, _ = imported(folder, ignore=("events", "pad.mode", "pad.gas"))
    assert store.action_spec == SPEC and store.episode(0).action.tolist() == ACTIONS


def test_ignored_arrays_may_hold_anything(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {"reward": [0, np.nan, 1], "done": [0, 2, 0]}
    np.savez(tmp_path / "one.npz", obs=greys(4), action=[0, 1, 2], **arrays)
    with pytest.raises(
        UserError, match="reward must be 3 finite numbers, but it holds NaN or infinity; correct"
    ):
        imported(tmp_path / "one.npz")
    with pytest.raises(UserError, match=r"done must be 0 or 1 .* leave it out with `ignore` done"):
        imported(tmp_path / "one.npz", ignore=("reward",))
    store, _ = imported(tmp_path / "one.npz", ignore=("reward", "done"))
    assert store.episode(0).reward.tolist() == [0, 0, 0] and not store.episode(0).terminated.any()


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
