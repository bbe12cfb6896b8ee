"""What is imported is what was recorded, whatever the format."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("h5py")

import h5py
from PIL import Image

import adamas
from adamas.core.actions import ActionSpec, Axis, Choice
from adamas.data import EpisodeStore
from adamas.data.importing.run import ImportOptions, import_recordings
from tests.helpers.recordings import HEIGHT, WIDTH, frames, write_csgo, write_csv, write_images, write_video

STEER = [-1.0, 0.5, 0.25, 1.0]
FIRE = [0, 1, 1, 0]
SPEC = ActionSpec(buttons=("fire",), axes=(Axis("steer", -1.0, 1.0),))
ACTIONS = np.array([FIRE, STEER], np.float32).T


def imported(path: Path, actions: Path | None = None, **options: object) -> EpisodeStore:
    out = path.parent / f"imported {path.name}"
    return import_recordings(path, out, actions, ImportOptions(**options))  # type: ignore[arg-type]


def pixels(store: EpisodeStore, episode: int = 0) -> np.ndarray:
    """(T + 1, H, W, 3)."""
    return store.episode(episode).obs.transpose(0, 2, 3, 1)


@pytest.mark.parametrize("rows", [5, 4])  # one a frame, or one for every frame but the last
def test_a_video_and_a_table(tmp_path: Path, rows: int) -> None:
    path = write_video(tmp_path / "clip.mp4", frames(5))
    steer, fire = [*STEER, 0.0][:rows], [*FIRE, 0][:rows]
    write_csv(tmp_path / "clip.csv", steer=steer, fire=fire, reward=[0, 1, -2, 0.5, 0][:rows])
    store = imported(path)
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
    store = imported(tmp_path / "clips", tmp_path / "tables")
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
    store = imported(path)
    assert store.action_spec == SPEC and np.array_equal(store.episode(0).action, ACTIONS)


def test_rows_that_hold_from_their_time_on(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", frames(6), rate=10)  # at 0, 0.1, ... 0.5 s
    table = write_csv(tmp_path / "keys.csv", time=[0, 0.15, 0.16, 0.4], key=[0, 1, 2, 1], reward=[1, 2, 4, 8])
    store = imported(path, table, choices=("key",))
    assert store.episode(0).action.tolist() == [0, 0, 2, 2, 1]


def test_a_folder_of_images_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "shots", frames(12))  # shot2 comes before shot10
    write_csv(folder / "actions.csv", action=range(11))
    store = imported(folder)
    assert np.array_equal(pixels(store), frames(12))
    assert store.action_spec == ActionSpec.numbered(11)
    assert store.episode(0).action.tolist() == list(range(11))


@pytest.mark.parametrize("channels_first", [False, True])
def test_npz(tmp_path: Path, channels_first: bool) -> None:
    obs = frames(5).transpose(0, 3, 1, 2) if channels_first else frames(5)
    np.savez(tmp_path / "one.npz", obs=obs, actions=[0, 2, 1, 0], rewards=[0, 1, 0, 2], dones=[0, 0, 0, 1])
    store = imported(tmp_path / "one.npz")
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
    store = imported(tmp_path / "all.hdf5")
    assert store.action_spec == ActionSpec(buttons=("action_1",), axes=(Axis("action_0", -1.0, 1.0),))
    assert [np.array_equal(pixels(store, i), frames(5, i)) for i in range(2)] == [True, True]
    assert np.array_equal(store.episode(1).action, ACTIONS)


def test_the_layout_of_the_public_recordings_of_csgo(tmp_path: Path) -> None:
    actions = np.random.default_rng(0).integers(2, size=(4, 51))
    actions[0], actions[1] = 0, 1
    path = write_csgo(tmp_path / "game.hdf5", frames(4, 0, 150, 280), actions)
    store = imported(path)
    assert store.action_spec is not None and len(store.action_spec.buttons) == 51
    assert store.action_spec.buttons[:4] == ("w", "a", "s", "d")
    assert np.array_equal(pixels(store), frames(4, 0, 150, 280))
    assert np.array_equal(store.episode(0).action, actions[:3])


def test_smaller_and_fewer_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", frames(7))
    write_csv(tmp_path / "clip.csv", action=range(6), reward=[1, 2, 4, 8, 16, 32])
    store = imported(path, size=(HEIGHT // 2, WIDTH // 4), every=2)
    blocks = frames(7)[::2].reshape(4, HEIGHT // 2, 2, WIDTH // 4, 4, 3).mean(axis=(2, 4))
    assert np.abs(pixels(store) - blocks).max() <= 0.5
    assert store.episode(0).action.tolist() == [0, 2, 4]
    assert store.episode(0).reward.tolist() == [3, 12, 48]


def test_what_a_column_is_can_be_said(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", frames(4))
    write_csv(tmp_path / "clip.csv", gear=[0, 2, 1], gas=[0, 1, 1], note=[5, 5, 5])
    store = imported(path, choices=("gear",), axes=("gas",), ignore=("note",))
    expected = ActionSpec((Choice(("0", "1", "2"), "gear"),), (), (Axis("gas", 0.0, 1.0),))
    assert store.action_spec == expected


SLOWLY = """
import sys, time
from pathlib import Path
from adamas.data.importing.run import ImportOptions, import_recordings
def told(done, count, name):
    print(done, flush=True)
    if done == 2: time.sleep(60)
import_recordings(Path(sys.argv[1]), Path(sys.argv[2]), None, ImportOptions(), told)
"""


def test_a_killed_import_goes_on(tmp_path: Path) -> None:
    for i in range(4):
        write_video(tmp_path / "clips" / f"{i}.mp4", frames(4, i))
        write_csv(tmp_path / "clips" / f"{i}.csv", action=[0, 1, 2])
    command = [sys.executable, "-c", SLOWLY, str(tmp_path / "clips"), str(tmp_path / "out")]
    environment = os.environ | {"PYTHONPATH": str(Path(adamas.__file__).parents[1])}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while process.stdout.readline().strip() != "2":
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "out").exists()
    begun: list[int] = []
    store = import_recordings(
        tmp_path / "clips", tmp_path / "out", None, ImportOptions(), lambda done, *_: begun.append(done)
    )
    assert begun == [2, 3]
    whole = imported(tmp_path / "clips")
    for name in ("frames.bin", "rows.bin", "index.json"):
        assert Path(store.folder, name).read_bytes() == Path(whole.folder, name).read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clips", "imported clips", "out"]


def to_jpeg(picture: np.ndarray) -> bytes:
    Image.fromarray(picture).save(buffer := io.BytesIO(), format="JPEG")
    return buffer.getvalue()


def write_minari(
    path: Path, space: dict[str, object], action: np.ndarray, jpeg: bool, kind: str
) -> np.ndarray:
    """A dataset of 11 episodes of three steps, as Minari 0.5 lays it out; returns the frames of each."""
    (path / "data").mkdir(parents=True)
    pictures = np.stack([frames(4, seed) for seed in range(11)])
    parts = {"speed": {"type": "Box", "shape": [2]}, "camera": {"type": "Box", "shape": pictures.shape[2:]}}
    about = {
        "action_space": json.dumps(space),
        "observation_space": json.dumps({"type": "Dict", "subspaces": parts}),
        "data_format": kind,
    }
    (path / "data" / "metadata.json").write_text(json.dumps(about))
    (write_hdf5 if kind == "hdf5" else write_arrow)(path / "data", kind, pictures, action, jpeg)
    if jpeg:
        pictures = np.stack([[np.asarray(Image.open(io.BytesIO(to_jpeg(x)))) for x in e] for e in pictures])
    return pictures


def write_arrow(data: Path, kind: str, pictures: np.ndarray, action: np.ndarray, jpeg: bool) -> None:
    """A row for every frame; the last one's action and what came of it mean nothing."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.dataset import write_dataset

    def rows(values: np.ndarray) -> Any:
        if values.ndim == 1:
            return pyarrow.array(values)
        flat = values.reshape(len(values), -1)
        return pyarrow.FixedSizeListArray.from_arrays(flat.ravel(), flat.shape[1])

    def padded(values: object) -> Any:
        array = np.asarray(values)
        return rows(np.concatenate((array, np.full_like(array[:1], 77))))

    for i, episode in enumerate(pictures):
        camera = pyarrow.array(list(map(to_jpeg, episode)), pyarrow.binary()) if jpeg else rows(episode)
        seen = [rows(np.zeros((4, 2), np.float32)), camera]
        columns = {
            "episode_id": np.full(4, i, np.int32),
            "observations": pyarrow.StructArray.from_arrays(seen, ["speed", "camera"]),
            "actions": padded(action),
            "rewards": padded([0.0, i, 0.5]),
            "terminations": padded([False, False, i == 0]),
            "truncations": padded([False, False, i > 0]),
        }
        write_dataset(
            pyarrow.RecordBatch.from_pydict(columns),
            data,
            format=kind,
            partitioning=["episode_id"],
            existing_data_behavior="overwrite_or_ignore",
        )
        (data / str(i) / "metadata.json").write_text("{}")


def write_hdf5(data: Path, kind: str, pictures: np.ndarray, action: np.ndarray, jpeg: bool) -> None:
    with h5py.File(data / "main_data.hdf5", "w") as file:
        for i, episode in enumerate(pictures):
            group = file.create_group(f"episode_{i}")
            group["actions"], group["rewards"] = action, [0.0, i, 0.5]
            group["terminations"], group["truncations"] = [False, False, i == 0], [False, False, i > 0]
            seen = group.create_group("observations")
            seen["speed"] = np.zeros((4, 2), np.float32)
            if not jpeg:
                seen["camera"] = episode
                continue
            files = [np.frombuffer(to_jpeg(picture), np.uint8) for picture in episode]
            rows = h5py.vlen_dtype(np.uint8) if len(set(map(len, files))) > 1 else None
            seen.create_dataset("camera", data=files, dtype=rows)


BOX = {"type": "Box", "shape": [2], "low": [-1.0, 0.0], "high": [1.0, 3.0]}
AXES = ActionSpec(axes=(Axis("action_0", -1.0, 1.0), Axis("action_1", 0.0, 3.0)))
DISCRETE = {"type": "Discrete", "n": 6, "start": 2}
MINARI = [
    (DISCRETE, np.array([2, 3, 2]), ActionSpec((Choice(tuple("012345"), "action"),)), [0, 1, 0]),
    (BOX, np.array([[0.5, 2], [0, 0], [1, 3]]), AXES, [[0.5, 2], [0, 0], [1, 3]]),
    (
        {"type": "MultiDiscrete", "nvec": [2, 3], "start": [0, 1]},
        np.array([[1, 1], [0, 3], [0, 2]]),
        ActionSpec((Choice(("0", "1"), "action_0"), Choice(("0", "1", "2"), "action_1"))),
        [[1, 0], [0, 2], [0, 1]],
    ),
    (
        {"type": "MultiBinary", "n": 2},
        np.array([[1, 0], [1, 1], [0, 0]]),
        ActionSpec(buttons=("action_0", "action_1")),
        [[1, 0], [1, 1], [0, 0]],
    ),
]


@pytest.mark.parametrize("kind", ["hdf5", "arrow", "parquet"])
@pytest.mark.parametrize("jpeg", [False, True])
@pytest.mark.parametrize(("space", "action", "spec", "expected"), MINARI)
def test_minari(
    tmp_path: Path,
    space: dict[str, object],
    action: np.ndarray,
    spec: ActionSpec,
    expected: object,
    jpeg: bool,
    kind: str,
) -> None:
    pictures = write_minari(tmp_path / "game-v0", space, action, jpeg, kind)
    store = imported(tmp_path / "game-v0")
    assert store.action_spec == spec and store.num_episodes == 11
    for i, episode in enumerate(store):  # episode_10 is the last, not the third
        assert np.array_equal(pixels(store, i), pictures[i])
        assert episode.action.tolist() == expected and episode.reward.tolist() == [0, i, 0.5]
        assert (episode.terminated.tolist(), episode.truncated.tolist()) == (
            [False, False, i == 0],
            [False, False, i > 0],
        )
