"""``adamas data import`` from the command line: what it says, and what it takes."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adamas import cli
from adamas.commands.train import parse_start
from adamas.core.actions import ActionSpec
from adamas.data import NEW, EpisodeStore
from adamas.data.inspect import first_training
from adamas.presets import PRESETS


def shots(folder: Path, table: str | None) -> None:
    """Three grey images and their table."""
    folder.mkdir(parents=True)
    for t in range(3):
        Image.fromarray(np.full((8, 8, 3), t, np.uint8)).save(folder / f"{t}.png")
    if table is not None:
        (folder / "actions.csv").write_text(table)


def test_what_was_understood_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shots(tmp_path / "mine" / "a", "Fire; Reward\n0; 0\n1; 0\n0; 2,5\n")
    cli.run(["data", "import", str(tmp_path / "mine"), "--out", str(tmp_path / "out")])
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert line.startswith(f"note: {tmp_path}/mine/a: the last row holds a reward or an end")
    assert f"episode 1/1: {tmp_path}/mine/a\n" in out and "choice fire: 0 66.7%, 1 33.3%" in out
    episode = EpisodeStore.open(tmp_path / "out").episode(0)
    assert episode.reward.tolist() == [0, 0, 2.5] and episode.obs[:, 0, 0, 0].tolist() == [0, 1, 2, 2]


def test_recordings_without_a_table(tmp_path: Path, complaint: Callable[..., str]) -> None:
    shots(tmp_path / "mine", None)
    out = tmp_path / "out"
    assert "or import --without-actions" in complaint("data", "import", tmp_path / "mine", "--out", out)
    cli.run(["data", "import", str(tmp_path / "mine"), "--out", str(out), "--without-actions"])
    assert EpisodeStore.open(out).action_spec == ActionSpec.nothing()


def test_frames_of_a_file(tmp_path: Path, complaint: Callable[..., str]) -> None:
    frames = np.arange(3, dtype=np.uint8)[:, None, None, None].repeat(8, 1).repeat(8, 2).repeat(3, 3)
    arrays = {"obs/front": frames, "obs/back": frames + 10}
    np.savez(tmp_path / "one.npz", action=[0, 1], **arrays)  # type: ignore[arg-type]
    out = tmp_path / "out"
    said = complaint("data", "import", tmp_path / "one.npz", "--out", out)
    assert "several arrays of frames: obs/front, obs/back; choose one with --frames" in said
    cli.run(["data", "import", str(tmp_path / "one.npz"), "--out", str(out), "--frames", "back"])
    assert EpisodeStore.open(out).episode(0).obs[:, 0, 0, 0].tolist() == [10, 11, 12]


def test_the_commands_that_come_next_work_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        shots(tmp_path / "my shots" / name, "fire\n0\n1\n0\n")
    cli.run(["data", "import", "my shots", "--out", "my out"])
    split, train, dream = (shlex.split(line)[1:] for line in capsys.readouterr().out.splitlines()[-3:])
    cli.run(split)
    assert EpisodeStore.open("my out-split/test").num_episodes == 1
    assert train == ["train", "static-small", "--data", "my out-split"]
    assert PRESETS[train[1]]().final_epochs > 0
    start = parse_start(train[1], train[2:])
    assert start.config.data == "my out-split"
    assert dream[:2] == ["dream", "runs/static-small/my out-split-seed-0"] and "--beside-real" in dream


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (8, 12, ["out-split --cut 6", "train static-small --data"]),
        (64, 64, ["out-split --cut 6", "train static --data"]),
        (96, 128, ["frames of 96x128 take long to learn", "with --size 24 32"]),
    ],
)
def test_the_advice_fits_one_long_recording_and_the_size_of_its_frames(
    height: int, width: int, expected: list[str], tmp_path: Path
) -> None:
    store = EpisodeStore.create(tmp_path / "out", (3, height, width), ActionSpec.numbered(2))
    number, frame = np.array([NEW]), np.zeros((1, 3, height, width), np.uint8)
    no = np.array([False])
    for _ in range(60):
        number = store.append(number, frame, np.array([0]), np.zeros(1), no, no)
    store.append_final(number, frame)
    advice = "\n".join(first_training(store))
    assert all(words in advice for words in expected)
