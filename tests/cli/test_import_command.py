"""``adamas data import`` from the command line: what it says, and what it takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adamas import cli
from adamas.core.actions import ActionSpec
from adamas.data import EpisodeStore


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
