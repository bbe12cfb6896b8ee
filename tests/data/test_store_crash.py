"""The replay store against kills, full disks and damaged files."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adamas.core.errors import UserError
from adamas.data import NEW, EpisodeStore, files
from adamas.data.checksums import extend

SHAPE = (2, 1, 1)
FRAME_BYTES, ROW_BYTES = 2, 23


def step(store: EpisodeStore, ending: int | None = None) -> None:
    """One step in two environments, all values made from the number of rows; environment ``ending`` ends."""
    running = [*np.flatnonzero(~store.ended).tolist(), NEW, NEW][:2]
    seed, flags = store.num_rows, np.array([ending == 0, ending == 1])
    pixels = np.arange(seed, seed + 4).astype(np.uint8).reshape(2, *SHAPE)
    numbers = store.append(np.array(running), pixels, np.full(2, seed), np.full(2, seed / 2), flags, ~flags)
    store.append_final(numbers[flags], 255 - pixels[flags])


def content(store: EpisodeStore) -> list[Any]:
    """Everything a store holds, as plain values."""
    episodes = [(e.obs, e.action, e.reward, e.terminated, e.truncated) for e in store]
    return [store.ended.tolist(), *([array.tolist() for array in episode] for episode in episodes)]


def filled(folder: Path) -> EpisodeStore:
    """A store of five committed rows in two episodes, one of them ended."""
    store = EpisodeStore.create(folder, SHAPE)
    step(store)
    step(store, ending=1)
    store.commit()
    return store


@pytest.mark.parametrize(("frame_bytes", "row_bytes"), [(5, 0), (0, 31), (400, 7), (3, 400)])
def test_leftovers_of_a_killed_write_vanish(tmp_path: Path, frame_bytes: int, row_bytes: int) -> None:
    before = content(filled(tmp_path))
    for name, count in (("frames.bin", frame_bytes), ("rows.bin", row_bytes)):
        with (tmp_path / name).open("ab") as file:
            file.write(b"\xff" * count)
    (tmp_path / ".tmp-index.json").write_text('{"num_ro')
    store = EpisodeStore.open(tmp_path)
    assert content(store) == before
    twin = filled(tmp_path / "twin")
    for one in (store, twin):
        step(one, ending=0)
        one.commit()
    assert content(EpisodeStore.open(tmp_path)) == content(store) == content(twin)


def write_until_killed(folder: str) -> None:
    store = EpisodeStore.create(folder, SHAPE)
    for i in range(10**6):
        step(store, ending=1 if i % 3 == 0 else None)
        if i % 2:
            store.commit()


def test_kill_while_writing(tmp_path: Path) -> None:
    folder = tmp_path / "replay"
    with subprocess.Popen(
        [sys.executable, __file__, folder], env=os.environ | {"PYTHONPATH": ":".join(sys.path)}
    ) as writer:
        deadline = time.monotonic() + 60
        while not (folder / "index.json").exists() or EpisodeStore.open(folder).num_rows < 50:
            assert writer.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        writer.send_signal(signal.SIGKILL)
    survivor = EpisodeStore.open(folder)
    uninterrupted = EpisodeStore.create(tmp_path / "uninterrupted", SHAPE)
    i = 0
    while uninterrupted.num_rows < survivor.num_rows:
        step(uninterrupted, ending=1 if i % 3 == 0 else None)
        i += 1
    assert i % 2 == 0  # a commit follows every second step
    assert content(survivor) == content(uninterrupted)


@pytest.mark.parametrize("calls", [1, 2])
def test_ctrl_c_while_rows_are_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    store = filled(tmp_path)
    before, done = content(store), list[str]()

    def interrupted(*arguments: Any) -> None:
        extend(*arguments)
        done.append("hashed")
        if len(done) == calls:
            raise KeyboardInterrupt

    monkeypatch.setattr(files, "extend", interrupted)
    with pytest.raises(KeyboardInterrupt):
        step(store)
    monkeypatch.undo()
    store.commit()
    assert content(EpisodeStore.open(tmp_path)) == before


@pytest.mark.parametrize("name", ["frames.bin", "rows.bin"])
def test_full_disk_on_append(tmp_path: Path, name: str) -> None:
    store, twin = filled(tmp_path / "replay"), filled(tmp_path / "twin")
    assert content(store) == content(twin)  # and the files are mapped before they go
    file, aside = tmp_path / "replay" / name, tmp_path / "aside"
    file.rename(aside)
    file.symlink_to("/dev/full")  # every write to it fails with ENOSPC
    with pytest.raises(UserError, match=r"cannot write to .*replay: No space left.*free some disk space"):
        step(store)
    file.unlink()
    aside.rename(file)
    assert content(store) == content(EpisodeStore.open(store.folder)) == content(twin)
    for one in (store, twin):
        step(one, ending=0)
    assert content(store) == content(twin)


def test_disk_fills_up_in_the_middle_of_a_frame(tmp_path: Path) -> None:
    store, twin = filled(tmp_path / "replay"), filled(tmp_path / "twin")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5 * FRAME_BYTES + 3, hard))
    try:
        with pytest.raises(UserError, match="File too large; free some disk space"):
            step(store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "replay" / "frames.bin").stat().st_size == 5 * FRAME_BYTES + 3  # one frame and a half
    assert content(store) == content(EpisodeStore.open(store.folder)) == content(twin)
    for one in (store, twin):
        step(one, ending=0)
    assert content(store) == content(twin)


def full(descriptor: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_full_disk_on_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path)
    committed = content(store)
    step(store)
    after = content(store)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left"):
        store.commit()
    with pytest.raises(UserError, match="No space left"):
        store.truncate(5)
    assert content(store) == after
    assert content(EpisodeStore.open(tmp_path)) == committed
    monkeypatch.undo()
    store.commit()
    assert content(EpisodeStore.open(tmp_path)) == after


def index(**changes: Any) -> bytes:
    return json.dumps(
        {"version": 1, "obs_shape": SHAPE, "num_rows": 5, "action_spec": None} | changes
    ).encode()


def rows(*episodes: int) -> bytes:
    return b"".join(number.to_bytes(8, "little", signed=True) + bytes(ROW_BYTES - 8) for number in episodes)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("index.json", None, r"no dataset in .*No such file.*check the path"),
        ("index.json", b"{", "index.json is damaged"),
        ("index.json", b"[]", "index.json is damaged"),
        ("index.json", b"{}", "index.json is damaged"),
        ("index.json", index(obs_shape=[2, 1]), "index.json is damaged"),
        ("index.json", index(num_rows=-1), "index.json is damaged"),
        ("index.json", index(action_spec={"buttons": []}), "index.json is damaged"),
        ("index.json", index(action_spec=["fire"]), "index.json is damaged"),
        ("index.json", index(version=4), r"newer adamas.*upgrade"),
        ("frames.bin", None, "frames.bin: No such file"),
        ("frames.bin", bytes(5 * FRAME_BYTES - 1), "frames.bin is shorter"),
        ("rows.bin", None, "rows.bin: No such file"),
        ("rows.bin", rows(0, 1, 0, 1), "rows.bin is shorter"),
        ("rows.bin", rows(0, 1, 0, 1, -1), "rows.bin is damaged"),
        ("rows.bin", rows(0, 1, 0, 1, 10**12), "rows.bin is damaged"),
        ("rows.bin", rows(0, 1, 0, 1, 3), "rows.bin is damaged"),
        ("rows.bin", rows(1, 0, 0, 1, 1), "rows.bin is damaged"),
    ],
)
def test_damaged_folders_are_refused(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    filled(tmp_path)
    written = json.loads((tmp_path / "index.json").read_bytes())
    assert {name: written[name] for name in json.loads(index())} == json.loads(index())
    assert (tmp_path / "rows.bin").stat().st_size == len(rows(0, 1, 0, 1, 1))
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        EpisodeStore.open(tmp_path)
    assert "\n" not in str(error.value)


def test_create_refuses_a_folder_in_use(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is not empty"):
        EpisodeStore.create(tmp_path, SHAPE)
    with pytest.raises(UserError, match=r"cannot write to .*file"):
        EpisodeStore.create(tmp_path / "file", SHAPE)
    EpisodeStore.create(tmp_path / "deep" / "empty", SHAPE)


if __name__ == "__main__":
    write_until_killed(sys.argv[1])
