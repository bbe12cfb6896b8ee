from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from adamas.core.actions import ActionSpec, Axis
from adamas.core.errors import UserError
from adamas.data import EpisodeStore
from adamas.play import recording
from adamas.play.recording import Recordings

SHAPE, THREE = (1, 2, 2), ActionSpec.numbered(3)


def frame(number: int) -> torch.Tensor:
    return torch.full(SHAPE, number, dtype=torch.uint8)


def record(recordings: Recordings, kind: str, steps: int, terminated: bool = False) -> int | None:
    recorder = recordings.begin(kind)
    for t in range(steps):
        recorder.add(frame(t), torch.tensor(t % 3), float(t), terminated and t == steps - 1, False)
    return recorder.finish(frame(steps))


def test_episodes_follow_one_another(tmp_path: Path) -> None:
    recordings = Recordings(tmp_path / "r", SHAPE, THREE)
    assert record(recordings, "dream", 3) == 0
    assert record(recordings, "dream", 0) is None  # nothing to keep
    assert record(recordings, "dream", 2, terminated=True) == 1
    store = EpisodeStore.open(tmp_path / "r" / "dream")
    first, second = store
    assert first.obs[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert (first.action.tolist(), first.reward.tolist()) == ([0, 1, 2], [0, 1, 2])
    assert (first.terminated.tolist(), first.truncated.tolist()) == ([False] * 3, [False, False, True])
    assert (second.terminated.tolist(), second.truncated.tolist()) == ([False, True], [False, False])
    assert not (tmp_path / "r" / "real").exists()


def test_two_at_a_time(tmp_path: Path) -> None:
    recordings = Recordings(tmp_path / "r", SHAPE, THREE)
    one, other = recordings.begin("real"), recordings.begin("real")
    for t in range(3):
        one.add(frame(t), torch.tensor(0), 0.0, False, False)
        other.add(frame(10 + t), torch.tensor(1), 0.0, False, False)
    assert {one.finish(frame(3)), other.finish(frame(13))} == {0, 1}
    frames = [episode.obs[:, 0, 0, 0].tolist() for episode in EpisodeStore.open(tmp_path / "r" / "real")]
    assert frames == [[0, 1, 2, 3], [10, 11, 12, 13]]


def test_a_later_server_adds_to_what_is_there(tmp_path: Path) -> None:
    for expected in (0, 1):
        recordings = Recordings(tmp_path / "r", SHAPE, THREE)
        assert record(recordings, "dream", 2) == expected
        recordings.close()
    assert EpisodeStore.open(tmp_path / "r" / "dream").num_episodes == 2


def test_what_a_killed_server_recorded_stays(tmp_path: Path) -> None:
    """The episode it was in the middle of is lost from its last commit on, and nothing else."""
    code = f"""
import os, torch
from adamas.core.actions import ActionSpec
from adamas.play.recording import Recordings
recordings = Recordings(__import__("pathlib").Path({str(tmp_path / "r")!r}), (1, 2, 2), ActionSpec.numbered(3))
for steps, finish in ((3, True), (5, False)):
    recorder = recordings.begin("dream")
    for t in range(steps):
        recorder.add(torch.zeros(1, 2, 2, dtype=torch.uint8), torch.tensor(0), 0.0, False, False)
    if finish:
        recorder.finish(torch.zeros(1, 2, 2, dtype=torch.uint8))
os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 9
    recordings = Recordings(tmp_path / "r", SHAPE, THREE)
    record(recordings, "dream", 1)
    assert EpisodeStore.open(tmp_path / "r" / "dream").lengths.tolist() == [4, 2]


def test_two_servers_do_not_write_into_one_folder(tmp_path: Path) -> None:
    first, second = Recordings(tmp_path / "r", SHAPE, THREE), Recordings(tmp_path / "r", SHAPE, THREE)
    first.begin("dream")
    with pytest.raises(UserError, match=r"another process records into .*`recordings`"):
        second.begin("real")
    first.close()
    second.begin("real")


def test_other_frames_are_refused(tmp_path: Path) -> None:
    EpisodeStore.create(tmp_path / "dream", (3, 8, 8))
    with pytest.raises(UserError, match=r"holds frames of shape \(3, 8, 8\).*choose another dataset"):
        Recordings(tmp_path, SHAPE, THREE).begin("dream")


def test_other_actions_are_refused(tmp_path: Path) -> None:
    lever = ActionSpec(axes=(Axis("lever"),))
    recordings = Recordings(tmp_path / "r", SHAPE, lever)
    recorder = recordings.begin("dream")
    recorder.add(frame(0), torch.tensor([0.25]), 0.0, False, False)
    recorder.finish(frame(1))
    recordings.close()
    store = EpisodeStore.open(tmp_path / "r" / "dream")
    assert (store.action_spec, store.episode(0).action.tolist()) == (lever, [[0.25]])
    EpisodeStore.create(tmp_path / "old" / "dream", SHAPE)  # as recordings of one choice once were
    recordings = Recordings(tmp_path / "old", SHAPE, THREE)
    recordings.begin("dream")
    recordings.close()
    for folder, spec in (("r", THREE), ("old", lever)):
        with pytest.raises(UserError, match="holds other actions than the agent has"):
            Recordings(tmp_path / folder, SHAPE, spec).begin("dream")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot record into"):
        Recordings(tmp_path / "file" / "r", SHAPE, THREE).begin("dream")


def test_what_one_server_records_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "MAX_BYTES", 10)
    recorder = Recordings(tmp_path / "r", SHAPE, THREE).begin("dream")
    recorder.add(frame(0), torch.tensor(0), 0.0, False, False)
    recorder.add(frame(1), torch.tensor(0), 0.0, False, False)
    with pytest.raises(UserError, match="is reached; restart"):
        recorder.add(frame(2), torch.tensor(0), 0.0, False, False)
    recorder.finish(frame(2))
    assert np.array_equal(EpisodeStore.open(tmp_path / "r" / "dream").lengths, [3])
