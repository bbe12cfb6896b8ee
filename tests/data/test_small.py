"""Small frames are made once, are those that would be made for every batch, and a kill costs no more than a chunk."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from adamas.core.errors import UserError
from adamas.core.types import SegmentSpec
from adamas.data import small
from adamas.data.pack import pack
from adamas.data.sampling import SegmentSampler
from adamas.data.small import with_small_frames
from adamas.data.store import NEW, EpisodeStore
from adamas.diffusion.upsampler import Upsampler, UpsamplerConfig
from adamas.nn.unet import FrameNetworkConfig

SHAPE = (3, 8, 12)


def shrink(obs: Tensor) -> Tensor:
    network = FrameNetworkConfig(
        context_length=1, cond_channels=4, depths=(1,), channels=(8,), attn_depths=(False,)
    )
    with torch.device("meta"):
        upsampler = Upsampler(UpsamplerConfig(network=network, factor=2), 3)
    return upsampler.shrink(obs)


def make_store(folder: Path, num_episodes: int = 3, seed: int = 0) -> EpisodeStore:
    """Episodes of 5 frames of noise."""
    store, rng = EpisodeStore.create(folder, SHAPE), np.random.default_rng(seed)
    for _ in range(num_episodes):
        number = np.array([NEW])
        for _ in range(4):
            frame = rng.integers(256, size=(1, *SHAPE), dtype=np.uint8)
            number = store.append(
                number, frame, np.array([1]), np.array([0.5]), np.array([False]), np.array([False])
            )
        store.append_final(number, rng.integers(256, size=(1, *SHAPE), dtype=np.uint8))
    store.commit()
    return store


@pytest.mark.parametrize("packed", [False, True])
def test_batches_are_those_that_are_shrunk_one_by_one(tmp_path: Path, packed: bool) -> None:
    store = make_store(tmp_path / "full")
    if packed:
        list(pack(store, tmp_path / "packed"))
        store = EpisodeStore.open(tmp_path / "packed")
    little = with_small_frames(store, shrink, tmp_path)
    assert little.view.frames[np.arange(2)].shape == (2, 3, 4, 6) and store.obs_shape == SHAPE
    # Rows with small frames would damage the store.
    assert not any(hasattr(little, name) for name in ("append", "append_final", "commit", "truncate"))
    for spec in (SegmentSpec(3), SegmentSpec(7, past_end=True)):
        ours, full = (SegmentSampler(s).sample(40, spec, np.random.default_rng(1)) for s in (little, store))
        assert torch.equal(ours.obs, shrink(full.obs))
        for name in ("action", "reward", "terminated", "truncated", "mask"):
            assert torch.equal(getattr(ours, name), getattr(full, name))


def file_of(folder: Path) -> Path:
    """The one file of small frames in a folder."""
    (path,) = folder.glob("small-4x6-*")
    return path


def test_they_are_made_once(tmp_path: Path) -> None:
    store, told = make_store(tmp_path / "full"), list[int]()
    with_small_frames(store, shrink, tmp_path, on_progress=told.append)
    assert told == [15]
    with_small_frames(EpisodeStore.open(tmp_path / "full"), shrink, tmp_path, on_progress=told.append)
    assert told == [15]
    assert file_of(tmp_path).stat().st_size == 15 * 3 * 4 * 6


@pytest.mark.parametrize("checksums", [True, False])
def test_those_of_a_dataset_that_differs_in_one_frame_are_made_anew(tmp_path: Path, checksums: bool) -> None:
    store = make_store(tmp_path / "one")
    with_small_frames(store, shrink, tmp_path)
    other = make_store(tmp_path / "other")
    frames = np.memmap(tmp_path / "other" / "frames.bin", np.uint8, "r+", shape=(15, *SHAPE))
    frames[7] = 255 - frames[7]
    frames.flush()
    if checksums:  # as they are in a dataset that was recorded so
        assert other.checksums is not None
        sums = {name: list(sums) for name, sums in other.checksums.items()}
        other._files.checksums = {**sums, "frames.bin": [zlib.crc32(frames.tobytes())]}
    little = with_small_frames(other, shrink, tmp_path)
    assert np.array_equal(
        little.view.frames[np.array([7])], shrink(torch.from_numpy(np.array(frames[7:8]))).numpy()
    )
    assert file_of(tmp_path).is_file()  # and those of the first one are gone


@pytest.mark.parametrize("torn", [0, 1])
def test_an_interrupted_one_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torn: int) -> None:
    monkeypatch.setattr(small, "CHUNK", 2)
    monkeypatch.setattr(small, "SYNCED", 1)
    store = make_store(tmp_path / "full")

    class Killed(BaseException):
        pass

    def kill(done: int) -> None:
        if done == 8:
            raise Killed

    with pytest.raises(Killed):
        with_small_frames(store, shrink, tmp_path, on_progress=kill)
    part = file_of(tmp_path)
    assert part.name.endswith(".part")
    size = part.stat().st_size
    with part.open("r+b") as file:  # half a frame never reached the disk
        file.truncate(size - torn * 10)
    told: list[int] = []
    little = with_small_frames(store, shrink, tmp_path, on_progress=told.append)
    assert told[0] == (6 if torn else 8)  # not from the beginning
    everything = np.arange(8)
    full = torch.from_numpy(np.array(store.view.frames[everything]))
    assert np.array_equal(little.view.frames[everything], shrink(full).numpy())
    assert not part.exists()


def test_one_of_several_processes_makes_them(tmp_path: Path) -> None:
    store = make_store(tmp_path / "full")
    with pytest.raises(UserError, match="is missing on this machine"):
        with_small_frames(store, shrink, tmp_path, make=False)
    with_small_frames(store, shrink, tmp_path)
    assert with_small_frames(store, shrink, tmp_path, make=False).lengths.tolist() == [5, 5, 5]


def test_a_folder_that_takes_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot write to"):
        with_small_frames(make_store(tmp_path / "full"), shrink, tmp_path / "missing")
