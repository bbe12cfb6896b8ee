from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch

from adamas.core.actions import ActionSpec
from adamas.data import EpisodeStore
from adamas.data.pack import pack
from adamas.play.dataset_api import MAX_EPISODES, MAX_FRAMES, DatasetApi, NotFound
from adamas.play.recording import Recordings


@pytest.fixture
def dataset_api(run: Path, tmp_path: Path) -> DatasetApi:
    return DatasetApi({"test": run / "dataset" / "test", "played-dream": tmp_path / "dream"}, fps=15.0)


def test_datasets_that_do_not_exist_yet_are_left_out_until_they_do(
    dataset_api: DatasetApi, tmp_path: Path
) -> None:
    assert [d["name"] for d in dataset_api.datasets()["datasets"]] == ["test"]
    store = EpisodeStore.create(tmp_path / "dream", (3, 10, 10))
    listed = dataset_api.datasets()["datasets"][1]
    assert (listed["name"], listed["episodes"], listed["steps"]) == ("played-dream", 0, 0)
    recorder = Recordings(tmp_path, (3, 10, 10), ActionSpec.numbered(3)).begin("dream")
    frame = np.zeros((3, 10, 10), np.uint8)
    recorder.add(torch.from_numpy(frame), torch.tensor(1), 0.0, False, False)
    recorder.finish(torch.from_numpy(frame))
    listed = dataset_api.datasets()["datasets"][1]
    assert (listed["episodes"], listed["steps"]) == (1, 1)
    assert store.num_episodes == 0  # that one has not looked again


def test_an_episode_and_its_frames(dataset_api: DatasetApi, run: Path) -> None:
    store = EpisodeStore.open(run / "dataset" / "test")
    listed = dataset_api.episodes("test", 2, 3)
    assert (listed["total"], [e["index"] for e in listed["episodes"]]) == (store.num_episodes, [2, 3, 4])
    episode = store.episode(2)
    assert listed["episodes"][0] == {
        "index": 2,
        "frames": len(episode.obs),
        "return": float(episode.reward.sum()),
        "ended": True,
    }
    told = dataset_api.episode("test", 2)
    assert told["actions"] == episode.action.tolist()
    assert told["rewards"] == episode.reward.tolist()
    assert (told["frames"], told["terminated"], told["truncated"]) == (len(episode.obs), True, False)
    data = dataset_api.frames("test", 2, 1, 3)
    shown = np.frombuffer(data, np.uint8).reshape(3, 10, 10, 3)
    assert np.array_equal(shown, episode.obs[1:4].transpose(0, 2, 3, 1))


def test_a_dataset_at_a_url(dataset_api: DatasetApi, run: Path, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/packed"
    list(pack(EpisodeStore.open(run / "dataset" / "test"), url))
    far = DatasetApi({"dataset": url, "test": f"file://{tmp_path}/nowhere"}, fps=15.0)
    assert [d["name"] for d in far.datasets()["datasets"]] == ["dataset"]
    assert far.episodes("dataset", 0, 9)["episodes"] == dataset_api.episodes("test", 0, 9)["episodes"]
    assert far.episode("dataset", 2) == dataset_api.episode("test", 2)
    assert far.frames("dataset", 2, 1, 3) == dataset_api.frames("test", 2, 1, 3)


def test_answers_are_bounded(dataset_api: DatasetApi, run: Path, tmp_path: Path) -> None:
    store = EpisodeStore.create(tmp_path / "dream", (3, 10, 10))
    blank, flags = np.zeros((1, 3, 10, 10), np.uint8), np.zeros(1, bool)
    for length in (300, *[1] * MAX_EPISODES):
        number = np.array([-1])
        for _ in range(length):
            number = store.append(number, blank, np.array([0]), np.zeros(1), flags, flags)
        store.append_final(number, blank)
    store.commit()
    assert len(dataset_api.episodes("played-dream", 0, 10**9)["episodes"]) == MAX_EPISODES
    assert len(dataset_api.frames("played-dream", 0, 0, 10**9)) == MAX_FRAMES * 300
    assert dataset_api.frames("played-dream", 0, 10**9, 5) == b""
    assert dataset_api.episodes("played-dream", 10**9, 5)["episodes"] == []


@pytest.mark.parametrize("name", ["train", "", "../test", "/etc", "test/../test", "played-real"])
def test_unknown_datasets(dataset_api: DatasetApi, name: str) -> None:
    with pytest.raises(NotFound):
        dataset_api.episodes(name, 0, 1)


@pytest.mark.parametrize("index", [-1, 10**9])
def test_unknown_episodes(dataset_api: DatasetApi, index: int) -> None:
    with pytest.raises(NotFound, match="there is no episode"):
        dataset_api.episode("test", index)


def test_a_damaged_dataset_is_reported_and_the_others_stay(dataset_api: DatasetApi, tmp_path: Path) -> None:
    EpisodeStore.create(tmp_path / "dream", (3, 10, 10))
    (tmp_path / "dream" / "index.json").write_text("{")
    with pytest.raises(NotFound, match=r"index\.json"):
        dataset_api.episodes("played-dream", 0, 1)
    assert [d["name"] for d in dataset_api.datasets()["datasets"]] == ["test"]


def test_films(dataset_api: DatasetApi) -> None:
    av = pytest.importorskip("av")
    frames = dataset_api.episode("test", 1)["frames"]
    with av.open(io.BytesIO(dataset_api.film("test", 1, ".mp4"))) as film:
        assert sum(1 for _ in film.decode(video=0)) == frames
    assert dataset_api.film("test", 1, ".gif").startswith(b"GIF89a")
