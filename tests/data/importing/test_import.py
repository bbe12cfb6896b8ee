"""What is imported is what was recorded, whatever the format."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("h5py")

import h5py

from adamas.core.actions import ActionSpec, Axis, Choice
from tests.helpers.recordings import (
    HEIGHT,
    WIDTH,
    frames,
    imported_store,
    pixels,
    write_csgo,
    write_csv,
    write_images,
    write_video,
)

STEER = [-1.0, 0.5, 0.25, 1.0]
FIRE = [0, 1, 1, 0]
SPEC = ActionSpec(buttons=("fire",), axes=(Axis("steer", -1.0, 1.0),))
ACTIONS = np.array([FIRE, STEER], np.float32).T


@pytest.mark.parametrize("rows", [5, 4])  # one a frame, or one for every frame but the last
def test_a_video_and_a_table(tmp_path: Path, rows: int) -> None:
    path = write_video(tmp_path / "clip.mp4", frames(5))
    steer, fire = [*STEER, 0.0][:rows], [*FIRE, 0][:rows]
    write_csv(tmp_path / "clip.csv", steer=steer, fire=fire, reward=[0, 1, -2, 0.5, 0][:rows])
    store = imported_store(path)
    (episode,) = store
    assert store.action_spec == SPEC and store.obs_shape == (3, HEIGHT, WIDTH)
    assert np.array_equal(pixels(store), frames(5))
    assert np.array_equal(episode.action, ACTIONS)
    assert episode.reward.tolist() == [0, 1, -2, 0.5]
    assert (episode.terminated.tolist(), episode.truncated.tolist()) == ([False] * 4, [False] * 3 + [True])


def test_a_folder_of_videos_and_one_of_tables(tmp_path: Path) -> None:
    for i in range(3):
        write_video(tmp_path / "clips" / f"{i}.mp4", frames(4 + i, i))
        write_csv(
            tmp_path / "tables" / f"{i}.csv",
            action=["left", "right", "left", "jump"][: 3 + (i > 0)] + ["left"] * i,
        )
    store = imported_store(tmp_path / "clips", tmp_path / "tables")
    assert store.action_spec == ActionSpec((Choice(("jump", "left", "right")),))
    assert store.lengths.tolist() == [4, 5, 6]
    for i in range(3):
        assert np.array_equal(pixels(store, i), frames(4 + i, i))
    assert store.episode(1).action.tolist() == [1, 2, 1, 0]


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".parquet"])
def test_tables_of_other_kinds(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / "clip.mp4", frames(5))
    rows = [{"steer": s, "fire": bool(f)} for s, f in zip(STEER, FIRE, strict=True)]
    table = tmp_path / f"clip{suffix}"
    if suffix == ".json":
        table.write_text(json.dumps(rows))
    elif suffix == ".jsonl":
        table.write_text("\n".join(map(json.dumps, rows)))
    else:
        pa = pytest.importorskip("pyarrow")
        pa.parquet = pytest.importorskip("pyarrow.parquet")
        pa.parquet.write_table(pa.Table.from_pylist(rows), table)
    store = imported_store(path)
    assert store.action_spec == SPEC and np.array_equal(store.episode(0).action, ACTIONS)


def test_rows_that_hold_from_their_time_on(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", frames(6), rate=10)  # at 0, 0.1, ... 0.5 s
    table = write_csv(tmp_path / "keys.csv", time=[0, 0.15, 0.16, 0.4], key=[0, 1, 2, 1], reward=[1, 2, 4, 8])
    store = imported_store(path, table, choices=("key",))
    assert store.episode(0).action.tolist() == [0, 0, 2, 2, 1]


def test_a_folder_of_images_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "shots", frames(12))  # shot2 comes before shot10
    write_csv(folder / "actions.csv", action=range(11))
    store = imported_store(folder)
    assert np.array_equal(pixels(store), frames(12))
    assert store.action_spec == ActionSpec.numbered(11)
    assert store.episode(0).action.tolist() == list(range(11))


@pytest.mark.parametrize("channels_first", [False, True])
def test_npz_files_are_imported_as_recorded(tmp_path: Path, channels_first: bool) -> None:
    obs = frames(5).transpose(0, 3, 1, 2) if channels_first else frames(5)
    np.savez(tmp_path / "one.npz", obs=obs, actions=[0, 2, 1, 0], rewards=[0, 1, 0, 2], dones=[0, 0, 0, 1])
    store = imported_store(tmp_path / "one.npz")
    (episode,) = store
    assert np.array_equal(pixels(store), frames(5))
    assert (episode.action.tolist(), episode.reward.tolist()) == ([0, 2, 1, 0], [0, 1, 0, 2])
    assert (episode.terminated.tolist(), bool(episode.truncated.any())) == ([False] * 3 + [True], False)


def test_hdf5_with_an_episode_in_every_group(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "all.hdf5", "w") as file:
        for i in range(2):
            group = file.create_group(f"episode_{i}")
            group["observations"], group["actions"] = frames(5, i), ACTIONS[:, ::-1]
            group["truncations"] = [False, False, False, bool(i)]
    store = imported_store(tmp_path / "all.hdf5")
    assert store.action_spec == ActionSpec(buttons=("action_1",), axes=(Axis("action_0", -1.0, 1.0),))
    assert [np.array_equal(pixels(store, i), frames(5, i)) for i in range(2)] == [True, True]
    assert np.array_equal(store.episode(1).action, ACTIONS)


def test_the_layout_of_the_public_recordings_of_csgo(tmp_path: Path) -> None:
    actions = np.random.default_rng(0).integers(2, size=(4, 51))
    actions[0], actions[1] = 0, 1
    path = write_csgo(tmp_path / "game.hdf5", frames(4, 0, 150, 280), actions)
    store = imported_store(path)
    assert store.action_spec is not None and len(store.action_spec.buttons) == 51
    assert store.action_spec.buttons[:4] == ("w", "a", "s", "d")
    assert np.array_equal(pixels(store), frames(4, 0, 150, 280))
    assert np.array_equal(store.episode(0).action, actions[:3])


def test_smaller_and_fewer_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", frames(7))
    write_csv(tmp_path / "clip.csv", action=range(6), reward=[1, 2, 4, 8, 16, 32])
    store = imported_store(path, size=(HEIGHT // 2, WIDTH // 4), every=2)
    blocks = frames(7)[::2].reshape(4, HEIGHT // 2, 2, WIDTH // 4, 4, 3).mean(axis=(2, 4))
    assert np.abs(pixels(store) - blocks).max() <= 0.5
    assert store.episode(0).action.tolist() == [0, 2, 4]
    assert store.episode(0).reward.tolist() == [3, 12, 48]


def test_what_a_column_is_can_be_said(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", frames(4))
    write_csv(tmp_path / "clip.csv", gear=[0, 2, 1], gas=[0, 1, 1], note=[5, 5, 5])
    store = imported_store(path, choices=("gear",), axes=("gas",), ignore=("note",))
    expected = ActionSpec((Choice(("0", "1", "2"), "gear"),), (), (Axis("gas", 0.0, 1.0),))
    assert store.action_spec == expected
