"""Datasets of Minari are imported as they were recorded, or refused in one line."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("h5py")

import h5py
from PIL import Image

from adamas.core.actions import ActionSpec, Axis, Choice
from adamas.core.errors import UserError
from adamas.data.importing.run import ImportOptions, import_recordings
from tests.helpers.recordings import frames, imported_store, pixels


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
def test_minari_datasets_are_imported_as_recorded(
    tmp_path: Path,
    space: dict[str, object],
    action: np.ndarray,
    spec: ActionSpec,
    expected: object,
    jpeg: bool,
    kind: str,
) -> None:
    pictures = write_minari(tmp_path / "game-v0", space, action, jpeg, kind)
    store = imported_store(tmp_path / "game-v0")
    assert store.action_spec == spec and store.num_episodes == 11
    for i, episode in enumerate(store):  # episode_10 is the last, not the third
        assert np.array_equal(pixels(store, i), pictures[i])
        assert episode.action.tolist() == expected and episode.reward.tolist() == [0, i, 0.5]
        assert (episode.terminated.tolist(), episode.truncated.tolist()) == (
            [False, False, i == 0],
            [False, False, i > 0],
        )


def _beyond_the_space(file: h5py.File) -> None:
    file["episode_0/actions"][0] = 3


def _two_images(file: h5py.File) -> None:
    file["episode_0/observations/map"] = frames(3)


def _no_image(file: h5py.File) -> None:
    del file["episode_0/observations/camera"]


def _no_actions(file: h5py.File) -> None:
    del file["episode_0/actions"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            _beyond_the_space,
            r"episode_0: action is 3; it must be a whole number in \[0, 2\], as metadata.json",
        ),
        (
            _two_images,
            "exactly one part .* must be an image .*there is observations/camera, observations/map",
        ),
        (_no_image, "no part of the observations is an image .*; record the dataset again with one"),
        (_no_actions, "episode_0 has no array called action or actions"),
    ],
)
def test_faulty_datasets_of_minari_are_refused(
    tmp_path: Path, damage: Callable[[h5py.File], None], message: str
) -> None:
    data = tmp_path / "game-v0" / "data"
    data.mkdir(parents=True)
    (data / "metadata.json").write_text(
        json.dumps({"action_space": '{"type": "Discrete", "n": 3, "start": 0}'})
    )
    with h5py.File(data / "main_data.hdf5", "w") as file:
        file["episode_0/actions"] = [0, 2]
        file["episode_0/observations/camera"] = frames(3)
        damage(file)
    with pytest.raises(UserError, match=message):
        import_recordings(data.parent, tmp_path / "out", None, ImportOptions())
    (data / "metadata.json").write_text("{}")
    with pytest.raises(UserError, match="data cannot be read as a Minari dataset"):
        import_recordings(data.parent, tmp_path / "out", None, ImportOptions())


@pytest.mark.parametrize("kind", ["hdf5", "arrow"])
def test_actions_of_other_kinds_are_refused(tmp_path: Path, kind: str) -> None:
    space: dict[str, object] = {"type": "Dict", "subspaces": {"stick": BOX}}
    pictures = write_minari(tmp_path / "game-v0", space, np.array([0, 1, 2]), False, kind)
    message = (
        "data: the action space is Dict, as metadata.json says; it must be one of Discrete, MultiDiscrete, "
        "MultiBinary, Box; store other actions, or import `without_actions`"
    )
    with pytest.raises(UserError, match=message):
        imported_store(tmp_path / "game-v0")
    store = imported_store(tmp_path / "game-v0", without_actions=True)
    assert np.array_equal(pixels(store), pictures[0])


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (False, r"data cannot be read as a Minari dataset \(.*arrow"),
        (True, r"pyarrow is not installed; .*adamas\[parquet\]"),
    ],
)
def test_arrow_files_are_refused_if_damaged_or_without_pyarrow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: bool, message: str
) -> None:
    pytest.importorskip("pyarrow")
    episode = tmp_path / "game-v0" / "data" / "0"
    episode.mkdir(parents=True)
    (episode / "part-0.arrow").write_bytes(b"damaged")
    about = {
        "data_format": "arrow",
        "action_space": '{"type": "Discrete", "n": 3}',
        "observation_space": "{}",
    }
    (episode.parent / "metadata.json").write_text(json.dumps(about))
    if missing:
        monkeypatch.setitem(sys.modules, "pyarrow.dataset", None)
    with pytest.raises(UserError, match=message) as error:
        import_recordings(tmp_path / "game-v0", tmp_path / "out", None, ImportOptions())
    assert "\n" not in str(error.value)
