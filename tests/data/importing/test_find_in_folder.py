"""Which files of a folder are recordings, and in which order. Frame i is grey i."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("h5py")

import h5py

from adamas.core.actions import ActionSpec, Axis
from adamas.core.errors import UserError
from tests.helpers.recordings import grey_of, greys, imported, write_csv, write_images, write_video


def test_recordings_of_several_kinds_in_a_folder_are_imported_in_order(tmp_path: Path) -> None:
    write_csv(write_video(tmp_path / "in" / "a.mp4", greys(4)).with_suffix(".CSV"), action=[0, 1, 2])
    np.savez(tmp_path / "in" / "b10.npz", obs=greys(14)[10:], action=[2, 1, 0])
    np.savez(tmp_path / "in" / "b9.npz", obs=greys(7)[3:], action=[2, 1, 0])
    with h5py.File(tmp_path / "in" / "c.H5", "w") as file:
        file["obs"], file["action"] = greys(24)[20:], [1, 1, 1]
    write_csv(write_images(tmp_path / "in" / "shots", greys(4)) / "actions.csv", action=[1, 0, 2])
    store, notes = imported(tmp_path / "in")
    assert [grey_of(store, i)[0] for i in range(5)] == [0, 3, 10, 20, 0] and notes == []
    assert store.episode(4).action.tolist() == [1, 0, 2]


def test_files_that_are_left_out_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write_csv(write_video(folder / "a.mp4", greys(4)).with_suffix(".csv"), action=[0, 1, 2])
    write_csv(folder / "b.csv", action=[0, 1, 2])  # its video is missing
    (folder / "thumbnail.png").write_bytes(b"")
    (folder / "more").mkdir()
    (folder / "more" / "notes.txt").write_text("hello")
    os.symlink(tmp_path, folder / "loop")
    (folder / ".hidden").write_text("")
    _, (note,) = imported(folder)
    assert note == "not imported: b.csv, loop, thumbnail.png, more/notes.txt"


def test_a_table_that_is_used_is_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "in"
    write_csv(write_video(folder / "a.mp4", greys(4)).parent / "tables" / "a.csv", action=[0, 1, 2])
    monkeypatch.chdir(tmp_path)
    _, notes = imported(folder, Path("in/../in/tables"))
    assert notes == []


def write_minari(folder: Path) -> None:
    folder.mkdir(parents=True)
    with h5py.File(folder / "main_data.hdf5", "w") as file:
        file["episode_0/observations"], file["episode_0/actions"] = greys(4), [0, 1, 2]
    (folder / "metadata.json").write_text(json.dumps({"action_space": '{"type": "Discrete", "n": 3}'}))


def test_recordings_beside_a_minari_dataset(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write_minari(folder / "data")
    np.savez(folder / "a.npz", obs=greys(14)[10:], action=[2, 1, 0])
    store, notes = imported(folder)
    assert [grey_of(store, i)[0] for i in range(2)] == [10, 0] and notes == []
    write_minari(tmp_path / "data")
    (folder / "a.npz").rename(tmp_path / "data" / "a.npz")
    _, notes = imported(tmp_path / "data")
    assert notes == ["not imported: a.npz"]


@pytest.mark.parametrize("deep", [True, False])
def test_a_folder_with_a_video_and_a_table_is_one_recording(tmp_path: Path, deep: bool) -> None:
    for name in ("run2", "run10") if deep else (".",):
        folder = tmp_path / "in" / name
        write_video(folder / "recording.mp4", greys(4))
        number = int(name[3:] or 0) if deep else 0
        rows = [{"steer": x} for x in (number, -1, 0.5)]
        (folder / "actions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    store, notes = imported(tmp_path / "in")
    assert [store.episode(i).action[0, 0] for i in range(store.num_episodes)] == ([2, 10] if deep else [0])
    assert store.action_spec == ActionSpec(axes=(Axis("steer", -1.0, 10.0 if deep else 0.5),)) and notes == []


def test_videos_without_tables_are_imported_only_if_asked(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write_video(folder / "a.mp4", greys(4))
    write_video(folder / "b.mp4", greys(3))
    table: dict[str, Any] = {"steer": [0.5, 1], "reward": [1, 2], "done": [0, 1]}
    write_csv(folder / "b.csv", **table)
    with pytest.raises(UserError, match=r"a\.mp4 needs one table of actions, .* import `without_actions`"):
        imported(folder)
    store, notes = imported(folder, without_actions=True)
    assert store.action_spec == ActionSpec.nothing() and store.lengths.tolist() == [4, 3] and notes == []
    assert grey_of(store) == [0, 1, 2, 3] and store.episode(0).action.tolist() == [0, 0, 0]
    assert not store.episode(0).reward.any() and store.episode(0).truncated.tolist() == [False, False, True]
    assert store.episode(1).reward.tolist() == [1, 2] and store.episode(1).terminated.tolist() == [
        False,
        True,
    ]


def test_every_second_frame_is_taken_without_a_table(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", greys(6))
    assert grey_of(imported(path, without_actions=True, every=2)[0]) == [0, 2, 4]


def test_arrays_without_actions_are_imported_only_if_asked(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", obs=greys(4), reward=[0, 0, 3])
    with pytest.raises(UserError, match="has no array called action or actions"):
        imported(tmp_path / "a.npz")
    store, _ = imported(tmp_path / "a.npz", without_actions=True)
    assert store.action_spec == ActionSpec.nothing() and store.episode(0).reward.tolist() == [0, 0, 3]
    with h5py.File(tmp_path / "b.hdf5", "w") as file:
        file["x/obs"] = greys(4)
    assert imported(tmp_path / "b.hdf5", without_actions=True)[0].num_transitions == 3


@pytest.mark.parametrize(
    ("actions", "options", "message"),
    [
        ("a.csv", {}, r"a\.csv is one table, but .*in holds 2 recordings; give a folder of tables"),
        (None, {"frames": "front"}, r"a\.mp4 has no arrays to choose from; leave out `frames`"),
        ("nowhere.csv", {}, r"nowhere\.csv: No such file"),
    ],
)
def test_options_that_mean_nothing_here_are_refused(
    tmp_path: Path, actions: str | None, options: dict[str, Any], message: str
) -> None:
    for name in ("a", "b"):
        write_csv(
            write_video(tmp_path / "in" / f"{name}.mp4", greys(4)).with_suffix(".csv"), action=[0, 1, 2]
        )
    with pytest.raises(UserError, match=message):
        imported(tmp_path / "in", None if actions is None else tmp_path / "in" / actions, **options)


def test_one_table_of_two_recordings_is_refused(tmp_path: Path) -> None:
    write_csv(write_video(tmp_path / "in" / "a.mp4", greys(4)).with_suffix(".csv"), action=[0, 1, 2])
    write_images(tmp_path / "in" / "a", greys(4))
    with pytest.raises(UserError, match=r"a\.csv is the table of .*in/a and of another recording"):
        imported(tmp_path / "in")


def test_a_single_image_is_no_recording(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "shots", greys(2))
    with pytest.raises(UserError, match=r"nothing in .*shot0\.png can be imported"):
        imported(folder / "shot0.png")
