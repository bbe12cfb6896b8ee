"""Packed datasets: what was packed comes back, from folders and other storage, and faults are told in one line."""

from __future__ import annotations

import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adamas.core.actions import ActionSpec, Axis
from adamas.core.errors import UserError
from adamas.core.types import SegmentSpec
from adamas.data import NEW, EpisodeStore, SegmentSampler
from adamas.data.locations import join
from adamas.data.pack import pack
from adamas.data.packed import FRAMES_PER_BLOCK
from adamas.data.prefetch import PrefetchingSampler

SHAPE = (3, 4, 5)
SPEC = ActionSpec(buttons=("jump",), axes=(Axis("steer", -2.0, 2.0),))
FIELDS = ("obs", "action", "reward", "terminated", "truncated", "mask")


def record(folder: Path, lengths: tuple[int, ...], spec: ActionSpec | None = None) -> EpisodeStore:
    """Episodes of so many frames, recorded side by side, so that their rows alternate; the first goes on."""
    rng = np.random.default_rng(0)
    store = EpisodeStore.create(folder, SHAPE, spec)
    numbers = np.full(len(lengths), NEW)
    for t in range(max(lengths)):
        going = [i for i, length in enumerate(lengths) if t < length - (i > 0)]
        ending = [i for i, length in enumerate(lengths) if i > 0 and t == length - 1]
        obs = rng.integers(256, size=(len(lengths), *SHAPE), dtype=np.uint8)
        action = rng.integers(2, size=(len(going), *(() if spec is None else spec.shape)))
        last = np.array([i > 0 and t == lengths[i] - 2 for i in going])
        if going:
            numbers[going] = store.append(
                numbers[going], obs[going], action, rng.random(len(going)), last, ~last & False
            )
        if ending:
            store.append_final(numbers[ending], obs[ending])
    store.commit()
    return store


def packed(store: EpisodeStore, out: str | Path) -> EpisodeStore:
    assert list(pack(store, out))[-1] == store.num_rows
    return EpisodeStore.open(out)


@pytest.fixture
def store(tmp_path: Path) -> EpisodeStore:
    return record(tmp_path / "raw", (9, 14, 3, 30))


@pytest.fixture
def url() -> str:
    return f"memory://{uuid.uuid4().hex}/mine"


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(2, 25), min_size=1, max_size=5).map(tuple),
    segments=st.lists(st.tuples(st.integers(0, 4), st.integers(-8, 25)), min_size=1, max_size=12),
    num_frames=st.integers(1, 9),
    continuous=st.booleans(),
)
def test_any_segment_is_that_of_the_raw_store(
    lengths: tuple[int, ...], segments: list[tuple[int, int]], num_frames: int, continuous: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        raw = record(Path(folder, "raw"), lengths, SPEC if continuous else None)
        copy = packed(raw, Path(folder, "packed"))
        assert (copy.obs_shape, copy.action_spec, copy.num_rows) == (SHAPE, raw.action_spec, sum(lengths))
        assert (copy.num_steps, copy.num_transitions) == (raw.num_steps, raw.num_transitions)
        for name in ("lengths", "ended", "returns"):
            assert (getattr(copy, name) == getattr(raw, name)).all()
        episode, start = np.array([(number % len(lengths), at) for number, at in segments]).T
        one, other = (store.read(episode, start, num_frames) for store in (raw, copy))
        assert all(torch.equal(getattr(one, name), getattr(other, name)) for name in FIELDS)
        for a, b in zip(raw, copy, strict=True):
            assert (a.obs == b.obs).all() and (a.action == b.action).all() and (a.reward == b.reward).all()


def test_it_lies_elsewhere_and_is_read_a_run_of_blocks_at_a_time(
    store: EpisodeStore, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = packed(store, url)
    assert [
        name.rpartition("/")[2] for name in sorted(fsspec.filesystem("memory").ls(url, detail=False))
    ] == [
        "blocks.bin",
        "frames.zst",
        "index.json",
        "rows.bin",
    ]
    asked = []
    files = copy.view.frames.files  # type: ignore[attr-defined]
    fetch = files.cat_ranges

    def count(paths: list[str], starts: list[int], ends: list[int], **options: object) -> list[bytes]:
        asked.append(len(paths))
        return fetch(paths, starts, ends, **options)

    monkeypatch.setattr(files, "cat_ranges", count)
    # Rows are sorted by episode: episode 1 has rows 9 to 22, and 3 has 26 to 55. Blocks 3 and 4; 7, 8 and 9.
    batch = copy.read(np.array([1, 3]), np.array([4, 2]), 10)
    assert asked == [2] and FRAMES_PER_BLOCK == 4
    assert torch.equal(batch.obs, store.read(np.array([1, 3]), np.array([4, 2]), 10).obs)


def test_a_packed_dataset_can_be_packed_again_and_not_added_to(store: EpisodeStore, url: str) -> None:
    copy = packed(packed(store, url), url + "-again")
    assert (copy.episode(3).obs == store.episode(3).obs).all()
    no = np.zeros(1, bool)
    with pytest.raises(UserError, match=r"mine-again is packed and therefore read-only"):
        copy.append(np.array([NEW]), np.zeros((1, *SHAPE), np.uint8), np.zeros(1, int), np.zeros(1), no, no)
    with pytest.raises(UserError, match=r"mine-again is packed and therefore read-only"):
        copy.truncate(copy.num_rows)
    with pytest.raises(UserError, match="is already a dataset; choose another `out`"):
        next(pack(store, url))
    with pytest.raises(UserError, match="is already a dataset"):
        next(pack(copy, store.folder))


def test_an_interrupted_pack_leaves_nothing(store: EpisodeStore, tmp_path: Path, url: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    for out in (tmp_path / "out", url):
        steps: Any = pack(store, out)
        next(steps)
        steps.close()  # as an exception in the middle does
        with pytest.raises(UserError, match=r"index\.json"):
            EpisodeStore.open(out)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes.txt"]
    assert fsspec.filesystem("memory").find(url) == []
    # One that was killed leaves files without an index, and the next one writes over them.
    (tmp_path / "out" / "frames.zst").write_bytes(b"x" * 100_000)
    assert (packed(store, tmp_path / "out").episode(1).obs == store.episode(1).obs).all()


@pytest.mark.parametrize("kept", [("frames.bin", "rows.bin"), ("rows.bin",), ("frames.bin",)])
def test_files_of_a_dataset_without_its_index_are_not_replaced(
    store: EpisodeStore, tmp_path: Path, kept: tuple[str, ...]
) -> None:
    other = record(tmp_path / "other", (5, 5))
    for path in Path(other.folder).iterdir():
        if path.name not in kept:
            path.unlink()
    before = {name: (tmp_path / "other" / name).read_bytes() for name in kept}
    with pytest.raises(
        UserError, match=r"other holds files of another dataset, whose index\.json is missing;"
    ):
        list(pack(store, other.folder))
    assert {path.name: path.read_bytes() for path in (tmp_path / "other").iterdir()} == before


@pytest.mark.parametrize("point", range(4))
def test_a_pack_that_is_killed_while_it_is_tidied_up(
    store: EpisodeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: int
) -> None:
    """The next one takes what is left for its own."""
    from fsspec.implementations.local import LocalFileSystem

    class Killed(BaseException):
        pass

    removed, remove = list[str](), LocalFileSystem.rm_file

    def kill(files: LocalFileSystem, path: str) -> None:
        if len(removed) == point:
            raise Killed
        removed.append(path)
        remove(files, path)

    def fail(*_: object) -> bytes:
        raise OSError("no space left")

    monkeypatch.setattr(LocalFileSystem, "rm_file", kill)
    monkeypatch.setattr("adamas.data.pack.index_text", fail)
    with pytest.raises(Killed if point < 3 else UserError):
        list(pack(store, tmp_path / "out"))
    monkeypatch.undo()
    assert (packed(store, tmp_path / "out").episode(1).obs == store.episode(1).obs).all()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "frames.zst",
            lambda b: b[:300] + bytes([b[300] ^ 1]) + b[301:],
            r"frames\.zst, rows 4 to 7: damaged; pack",
        ),
        ("frames.zst", lambda b: b[:-1], r"frames\.zst, rows 52 to 55: damaged"),
        ("blocks.bin", lambda b: b[:-8], r"blocks\.bin is shorter than its index says"),
        ("blocks.bin", lambda b: b[8:16] + b[8:], r"blocks\.bin is damaged"),
        ("rows.bin", lambda b: b[:-8], r"rows\.bin is shorter than its index says"),
        ("rows.bin", lambda b: b"\xff" * len(b), r"rows\.bin is damaged"),
        ("index.json", lambda b: b[:-3], r"index\.json is damaged"),
    ],
)
@pytest.mark.parametrize("elsewhere", [False, True])
def test_damage_is_named(store, url, tmp_path, name, change, message, elsewhere) -> None:  # type: ignore[no-untyped-def]
    out = url if elsewhere else tmp_path / "packed"
    packed(store, out)
    files, path = fsspec.core.url_to_fs(str(join(out, name)))
    files.pipe_file(path, change(files.cat_file(path)))
    with pytest.raises(UserError, match=message) as caught:
        list(EpisodeStore.open(out))
    assert "\n" not in str(caught.value)


def test_what_is_missing_is_named(store: EpisodeStore, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = packed(store, url)
    fsspec.filesystem("memory").rm_file(str(join(url, "frames.zst")))
    with pytest.raises(UserError, match=r"cannot read memory://.*/frames\.zst \(FileNotFoundError"):
        copy.episode(0)
    with pytest.raises(
        UserError, match=r"cannot open 'nosuch://x'; give a folder, or a URL that begins with one of s3, "
    ):
        EpisodeStore.open("nosuch://x")
    for module in ("zstandard", "fsspec"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            with pytest.raises(
                UserError, match=rf"{module} is not installed; install it with: pip install 'adamas\[data\]'"
            ):
                EpisodeStore.open(url)


def test_reading_ahead_changes_no_batch(store: EpisodeStore) -> None:
    """Two kinds of segments in turns, and a generator that is set back, as when a run is resumed."""
    plain, ahead = SegmentSampler(store, None), PrefetchingSampler(store)
    one, other = np.random.default_rng(5), np.random.default_rng(5)
    short, long = SegmentSpec(3), SegmentSpec(6, past_end=True)
    for spec in (short, short, short, long, long, short, short):
        before = other.bit_generator.state
        expected = plain.sample(4, spec, one)
        for _ in range(2):
            other.bit_generator.state = before
            batch = ahead.sample(4, spec, other)
            assert all(torch.equal(getattr(expected, name), getattr(batch, name)) for name in FIELDS)
            assert one.bit_generator.state == other.bit_generator.state


def test_storage_is_asked_by_one_thread_at_a_time(
    store: EpisodeStore, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = packed(store, url)
    files = copy.view.frames.files  # type: ignore[attr-defined]
    fetch, inside, most = files.cat_ranges, [0], [0]

    def slow(*arguments: object, **options: object) -> list[bytes]:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.01)
        inside[0] -= 1
        return fetch(*arguments, **options)

    monkeypatch.setattr(files, "cat_ranges", slow)
    sampler, rng = PrefetchingSampler(copy), np.random.default_rng(0)
    for _ in range(6):
        sampler.sample(4, SegmentSpec(3), rng)
    assert most == [1]


def test_what_fails_ahead_is_told_and_tried_again(store: EpisodeStore, url: str) -> None:
    copy = packed(store, url)
    files, path = fsspec.core.url_to_fs(str(join(url, "frames.zst")))
    content = files.cat_file(path)
    sampler, rng, other = PrefetchingSampler(copy), np.random.default_rng(0), np.random.default_rng(0)
    files.rm_file(path)
    with pytest.raises(UserError, match=r"cannot read .*frames\.zst"):
        sampler.sample(4, SegmentSpec(3), rng)
    files.pipe_file(path, content)
    expected = SegmentSampler(store, None).sample(4, SegmentSpec(3), other)
    assert torch.equal(sampler.sample(4, SegmentSpec(3), rng).obs, expected.obs)
