"""``adamas data`` from a video to a dataset that is split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adamas import cli
from adamas.core.actions import ActionSpec, Axis
from adamas.core.config import to_dict
from adamas.data import NEW, EpisodeStore
from adamas.data.index import read_index, write_index
from adamas.envs.config import MinAtarConfig


def store(folder: Path, episodes: int = 5) -> EpisodeStore:
    """Episodes of 4 steps, of which the last repeats its frame."""
    store = EpisodeStore.create(folder, (3, 4, 6), ActionSpec(buttons=("fire",), axes=(Axis("x", 0.0, 4.0),)))
    for e in range(episodes):
        number = np.array([NEW])
        frame = np.zeros((1, 3, 4, 6), np.uint8)
        for t in range(4):
            frame = np.full((1, 3, 4, 6), 10 * e + t, np.uint8)
            action = np.array([[t % 2, t]])
            number = store.append(
                number,
                frame,
                action,
                np.array([t - 1.0]),
                np.array([t == 3 and e == 0]),
                np.array([t == 3 and e > 0]),
            )
        store.append_final(number, frame)
    store.commit()
    return store


def test_from_images_to_train_and_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for e in range(3):
        (tmp_path / "shots" / str(e)).mkdir(parents=True)
        for t in range(4):
            Image.fromarray(np.full((8, 8, 3), 20 * e + t, np.uint8)).save(
                tmp_path / "shots" / str(e) / f"{t}.png"
            )
        (tmp_path / "shots" / str(e) / "actions.csv").write_text("steer\n-1\n0.5\n1\n")
    cli.run(["data", "import", "shots", "--out", "mine", "--size", "4", "4"])
    assert "episode 3/3: shots/2" in capsys.readouterr().out
    cli.run(["data", "validate", "mine"])
    assert "3 episodes, 12 frames: no fault found" in capsys.readouterr().out
    cli.run(["data", "split", "mine", "--out", "both", "--test", "0.3"])
    train, test = (EpisodeStore.open(tmp_path / "both" / name) for name in ("train", "test"))
    assert (train.num_episodes, test.num_episodes) == (2, 1)
    seen = sorted(int(e.obs[0, 0, 0, 0]) for s in (train, test) for e in s)
    assert seen == [0, 20, 40] and train.action_spec == test.action_spec == ActionSpec(axes=(Axis("steer"),))


def test_inspect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store(tmp_path / "mine")
    cli.run(["data", "inspect", str(tmp_path / "mine"), "--sheet", str(tmp_path / "sheet.png")])
    lines = capsys.readouterr().out.splitlines()
    assert "5 episodes, 20 steps, frames 4x6" in lines[0]
    assert lines[1] == "frames an episode: 5 to 5, median 5"
    assert lines[2] == "rewards: 10 positive, 5 negative; ends: 1 true, 4 cut off"
    assert lines[3] == "frames equal to the one before: 25.0%"
    assert lines[4] == "buttons: fire 50.0%"
    assert lines[5] == "axis x in [0, 4]: quantiles 0 5 50 95 100 %: 0 0 1.5 3 3"
    with Image.open(tmp_path / "sheet.png") as sheet:
        picture = np.asarray(sheet)
    assert picture.shape == (5 * 4 * 26, 8 * 6 * 26, 3)
    assert (picture[-1, 0] == 40).all() and (picture[-1, -1] == 43).all()


def test_split_again_deals_alike(tmp_path: Path) -> None:
    store(tmp_path / "mine", 20)
    for out, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        cli.run(["data", "split", str(tmp_path / "mine"), "--out", str(tmp_path / out), "--seed", seed])
    held = [(tmp_path / out / "test" / "frames.bin").read_bytes() for out in "abc"]
    assert held[0] == held[1] != held[2]
    assert EpisodeStore.open(tmp_path / "a" / "test").num_episodes == 2


def test_one_long_recording_is_cut_into_pieces(tmp_path: Path) -> None:
    mine = store(tmp_path / "mine", 1)
    whole = mine.episode(0)
    cli.run(["data", "split", str(tmp_path / "mine"), "--out", str(tmp_path / "cut"), "--cut", "2"])
    train, test = (EpisodeStore.open(tmp_path / "cut" / name) for name in ("train", "test"))
    assert test.num_episodes == 1 and train.num_transitions + test.num_transitions == len(whole)
    pieces = [*train, *test]
    assert all(len(piece) <= 2 and (piece.terminated[-1] ^ piece.truncated[-1]) for piece in pieces)
    first = next(piece for piece in pieces if (piece.obs[0] == whole.obs[0]).all())
    assert (first.obs == whole.obs[:3]).all() and (first.action == whole.action[:2]).all()
    assert sorted(piece.obs[0].tobytes() for piece in pieces) == sorted(x.tobytes() for x in whole.obs[:-1:2])


def test_the_same_recordings_without_their_actions(tmp_path: Path) -> None:
    mine = str(store(tmp_path / "mine").folder)
    cli.run(["data", "split", mine, "--out", str(tmp_path / "known")])
    cli.run(["data", "split", mine, "--out", str(tmp_path / "blind"), "--without-actions"])
    for part in ("train", "test"):
        known, blind = (EpisodeStore.open(tmp_path / name / part) for name in ("known", "blind"))
        assert blind.action_spec == ActionSpec.nothing() and known.action_spec != blind.action_spec
        for one, other in zip(known, blind, strict=True):
            assert (other.obs == one.obs).all() and (other.reward == one.reward).all()
            assert other.action.tolist() == [0] * len(one)


def damage(folder: Path, column: str, row: int, value: object, checksums: bool = False) -> None:
    """Change an entry, of a store as older versions wrote it, or of one with checksums."""
    mine = store(folder)
    if not checksums:
        write_index(folder, replace(read_index(folder), checksums=None))
    rows = np.fromfile(folder / "rows.bin", mine._row)
    if isinstance(value, bytes):
        rows[column].view(np.uint8)[row] = value[0]
    else:
        rows[column][row] = value
    rows.tofile(folder / "rows.bin")


@pytest.mark.parametrize(
    ("column", "row", "value", "message"),
    [
        ("action", 7, (1, 9.0), "episode 1, step 2: x is 9.0; it must be in [0, 4]"),
        ("action", 0, (0.5, 1.0), "episode 0, step 0: fire is 0.5; it must be a whole number in [0, 1]"),
        ("reward", 6, float("nan"), "episode 1, step 1: the reward is not a finite number"),
        ("truncated", 11, True, "episode 2, step 1: marked as an end, but the episode continues"),
        ("final", 11, True, "episode 2, step 1: marked as the last frame, but the episode continues"),
        ("final", 24, False, "episode 4, step 3: marked as an end, but the episode continues"),
        ("terminated", 2, b"\xff", "episode 0, step 2: terminated is 255, not 0 or 1"),
        ("final", 4, b"\xff", "episode 0, step 4: final is 255, not 0 or 1"),
        (
            "truncated",
            8,
            False,
            "episode 1, step 3: the last step, but neither terminated nor truncated",
        ),
    ],
)
def test_validate_names_the_fault(
    tmp_path: Path, complaint: Callable[..., str], column: str, row: int, value: object, message: str
) -> None:
    damage(tmp_path / "mine", column, row, value)
    assert message in complaint("data", "validate", tmp_path / "mine")


def test_validate_says_what_it_cannot_know(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = store(tmp_path / "mine")
    write_index(tmp_path / "mine", replace(read_index(tmp_path / "mine"), checksums=None))
    cli.run(["data", "validate", str(mine.folder)])
    assert (
        "no fault found, but changed pixels cannot be noticed, because an older adamas"
        in capsys.readouterr().out
    )
    cli.run(["data", "split", str(mine.folder), "--out", str(tmp_path / "both")])
    cli.run(["data", "validate", str(tmp_path / "both" / "train")])
    assert capsys.readouterr().out.endswith("20 frames: no fault found\n")  # a copy has them


@pytest.mark.parametrize("command", ["validate", "split", "pack"])
def test_a_flipped_bit_is_told(tmp_path: Path, complaint: Callable[..., str], command: str) -> None:
    store(tmp_path / "mine")
    for name, byte in (("frames.bin", 71 * 7 + 3), ("rows.bin", 100), ("index.json", 30)):
        content = (tmp_path / "mine" / name).read_bytes()
        (tmp_path / "mine" / name).write_bytes(
            content[:byte] + bytes([content[byte] ^ 4]) + content[byte + 1 :]
        )
        words = () if command == "validate" else ("--out", tmp_path / "out")
        line = complaint("data", command, tmp_path / "mine", *words)
        assert f"{name} is damaged" in line or f"{name}, rows 0 to 24: damaged, their checksum" in line
        assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())
        (tmp_path / "mine" / name).write_bytes(content)
    cli.run(["data", "validate", str(tmp_path / "mine")])


@pytest.mark.parametrize("known", [True, False])
def test_inspect_counts_actions_outside_their_space(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], known: bool
) -> None:
    mine = EpisodeStore.create(tmp_path / "mine", (3, 4, 6), ActionSpec.numbered(3) if known else None)
    number, no = np.array([NEW]), np.zeros(1, bool)
    for action in (0, 2**40, 2, 2):
        number = mine.append(
            number, np.zeros((1, 3, 4, 6), np.uint8), np.array([action]), np.zeros(1), no, no
        )
    mine.append_final(number, np.zeros((1, 3, 4, 6), np.uint8))
    mine.commit()
    cli.run(["data", "inspect", str(tmp_path / "mine")])
    lines = capsys.readouterr().out
    if known:
        assert "invalid actions, not counted below: 1 of 4" in lines
        assert "choice action: 0 33.3%, 1 0.0%, 2 66.7%" in lines
    else:
        assert "choice action: 0 25.0%, 2 50.0%, 1099511627776 25.0%" in lines


def test_record_a_game_played_at_random(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("minatar")
    game = ["--env.suite", "minatar", "--env.game", "breakout", "--env.size", "10"]
    for out, options in (("a", []), ("b", ["--repeat", "0.9"]), ("c", ["--repeat", "0.9"])):
        cli.run(["data", "record", str(tmp_path / out), *game, "--steps", "300", "--num-envs", "2", *options])
    stores = [EpisodeStore.open(tmp_path / out) for out in "abc"]
    held = [np.mean([(e.action[1:] == e.action[:-1]).mean() for e in s if len(e) > 5]) for s in stores]
    assert held[0] < 0.5 < 0.8 < held[1]
    assert stores[1].num_steps == 300 and stores[1].ended.sum() >= stores[1].num_episodes - 2
    assert (tmp_path / "b" / "rows.bin").read_bytes() == (tmp_path / "c" / "rows.bin").read_bytes()
    cli.run(["data", "validate", str(tmp_path / "a")])
    cli.run(["data", "split", str(tmp_path / "a"), "--out", str(tmp_path / "split")])
    parts = [EpisodeStore.open(tmp_path / "split" / name) for name in ("train", "test")]
    assert sum(part.num_transitions for part in parts) == stores[0].num_transitions
    cli.run(["data", "split", str(tmp_path / "a"), "--out", str(tmp_path / "blind"), "--without-actions"])
    known = to_dict(MinAtarConfig(game="breakout", size=10))
    assert all(store.game == known for store in (*stores, *parts))
    assert EpisodeStore.open(tmp_path / "blind" / "test").game is None
    capsys.readouterr()
    cli.run(["data", "inspect", str(tmp_path / "split" / "test")])
    assert "\nrecorded from minatar breakout\n" in capsys.readouterr().out
    for part in parts:  # the two that were still going on are cut off
        assert part.ended.all() and all(e.terminated[-1] ^ e.truncated[-1] for e in part)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "data needs a command; valid: import, inspect, pack, record, split, validate"),
        ("imort mine", "did you mean 'import'?"),
        ("import", "data import needs a file or folder (adamas data import --help)"),
        ("import nowhere --out x", "nowhere does not exist"),
        ("import mine --out mine", "mine exists; choose another --out"),
        ("import mine --out x --every 0", "--every is 0; it must be at least 1"),
        ("inspect nowhere", "no dataset in nowhere"),
        ("inspect mine --sheet mine", "mine exists; choose another --sheet"),
        ("inspect mine --sheet sheet.xyz", "cannot write sheet.xyz"),
        ("split mine --out mine", "mine exists"),
        ("split mine --out x --test 1.5", "--test is 1.5; it must be above 0 and below 1"),
        (
            "record mine --env.suite minatar --env.game breakout --env.size 10",
            "mine holds 20 steps in 5 episodes already; add",
        ),
        ("record x --steps 3", "--steps is 3; it must be at least 8, two for each game of --num-envs"),
        ("split one --out x", "one has 1 episode, and a split needs two"),
        ("split mine --out x --cut 0", "--cut is 0; it must be at least 1"),
    ],
)
def test_mistakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, complaint: Callable[..., str], words: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    store(tmp_path / "mine")
    store(tmp_path / "one", 1)
    assert message in complaint("data", *words.split())
    assert not (tmp_path / "x").exists()
