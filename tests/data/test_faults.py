"""Full disks and kills at every write: nothing torn, nothing lost that was committed, and the next try works."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adamas import cli
from adamas.core.errors import UserError
from adamas.data import NEW, EpisodeStore
from adamas.data.inspect import check
from tests.helpers.faults import full_disks, kills

SHAPE = (3, 4, 4)
GAME = ["--env.suite", "minatar", "--env.game", "breakout", "--env.size", "10"]
RECORD = ["data", "record", "out", *GAME, "--num-envs", "2", "--steps", "44"]


def episode(store: EpisodeStore, seed: int) -> None:
    """An episode of one step, committed."""
    rng, yes = np.random.default_rng(seed), np.ones(1, bool)
    obs = rng.integers(256, size=(2, 1, *SHAPE), dtype=np.uint8)
    store.append(np.array([NEW]), obs[0], rng.integers(3, size=1), rng.random(1), yes, ~yes)
    store.append_final(np.array([seed]), obs[1])
    store.commit()


def make_store(folder: Path, episodes: int = 4) -> EpisodeStore:
    store = EpisodeStore.create(folder, SHAPE)
    for seed in range(episodes):
        episode(store, seed)
    return store


def content(store: EpisodeStore) -> list[bytes]:
    return [e.obs.tobytes() + e.action.tobytes() + e.reward.tobytes() for e in store]


def check_datasets(folder: Path) -> None:
    """Those that are there, under whatever name, are sound."""
    for path in folder.rglob("index.json"):
        check(EpisodeStore.open(path.parent))


@dataclass
class Case:
    """Something that writes files, in the working folder.

    Attributes:
        prepare: makes what is there before, in the working folder.
        run: does it, once.
        check: looks at what ``run`` or ``again`` has made.
        again: does it after a failure; as ``run`` by default.
    """

    prepare: Callable[[], object]
    run: Callable[[], object]
    check: Callable[[], object]
    again: Callable[[], object] | None = None

    def go_on(self) -> None:
        """After a failure, with the same command or as it has said. It may have been over but for tidying up."""
        try:
            (self.again or self.run)()
        except UserError as error:
            assert "exists; choose another" in str(error) or "is already a dataset" in str(error)
        self.check()


def command(*words: str) -> Callable[[], object]:
    return lambda: cli.run(list(words))


def split_is_right() -> None:
    parts = [EpisodeStore.open(Path("out", name)) for name in ("train", "test")]
    assert sorted(content(parts[0]) + content(parts[1])) == sorted(content(EpisodeStore.open("mine")))


def is_copy(out: str, source: str = "mine") -> Callable[[], None]:
    def compare() -> None:
        store = EpisodeStore.open(out)
        check(store)
        assert content(store) == content(EpisodeStore.open(source))

    return compare


def prepare_parts() -> None:
    make_store(Path("mine", "train"), 2)
    make_store(Path("mine", "test"), 1)


def parts_are_right() -> None:
    is_copy("out/train", "mine/train")()
    is_copy("out/test", "mine/test")()


def sheet_is_right() -> None:
    with Image.open("sheet.png") as picture:
        picture.load()


def prepare_recordings() -> None:
    Path("given").mkdir()
    for i in range(3):
        rng = np.random.default_rng(i)
        frames = rng.integers(256, size=(4, 4, 4, 3), dtype=np.uint8)
        np.savez(f"given/{i}.npz", frames=frames, action=np.array([0, 1, i % 2]))


def import_is_right() -> None:
    store = EpisodeStore.open("out")
    check(store)
    for i, found in enumerate(store):
        rng = np.random.default_rng(i)
        frames = rng.integers(256, size=(4, 4, 4, 3), dtype=np.uint8)
        assert (found.obs == frames.transpose(0, 3, 1, 2)).all()
    assert store.num_episodes == 3


def go_on_recording() -> None:
    """As the same command says."""
    try:
        cli.run(RECORD)
    except UserError as error:
        assert "steps in" in str(error) and "add to them with --append" in str(error)
        cli.run([*RECORD, "--append"])


def recording_is_right() -> None:
    store = EpisodeStore.open("out")
    check(store)
    assert store.num_steps >= 44


def grow() -> None:
    """Eight rows are there. Two more are committed, then one of them is taken back, and all that are new."""
    store = EpisodeStore.open("mine")
    episode(store, 4)
    store.truncate(9)
    store.truncate(8)
    episode(store, 4)


def grow_again() -> None:
    """What was committed is there: four episodes, and as much of the fifth as some commit said."""
    store = EpisodeStore.open("mine")
    assert content(store)[:4] == content(make_store(Path("other"))) and store.num_rows in (8, 9, 10)
    shutil.rmtree("other")
    store.truncate(8)
    episode(store, 4)


def grown() -> None:
    assert content(EpisodeStore.open("mine")) == content(make_store(Path("other"), 5))


def prepare() -> None:
    make_store(Path("mine"))


CASES = {
    "grow": Case(prepare, grow, grown, again=grow_again),
    "split": Case(prepare, command("data", "split", "mine", "--out", "out"), split_is_right),
    "pack": Case(prepare, command("data", "pack", "mine", "--out", "out"), is_copy("out")),
    "pack parts": Case(prepare_parts, command("data", "pack", "mine", "--out", "out"), parts_are_right),
    "sheet": Case(prepare, command("data", "inspect", "mine", "--sheet", "sheet.png"), sheet_is_right),
    "import": Case(prepare_recordings, command("data", "import", "given", "--out", "out"), import_is_right),
    "record": Case(lambda: None, command(*RECORD), recording_is_right, again=go_on_recording),
}


def begin(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Case, Path, Path]:
    """What is there before, and the folder to work in."""
    if name == "record":
        pytest.importorskip("minatar")
    monkeypatch.setattr("adamas.data.recording.COMMIT_SECONDS", 0.0)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # it takes long
    before, folder = tmp_path / "before", tmp_path / "folder"
    before.mkdir()
    monkeypatch.chdir(before)
    CASES[name].prepare()
    return CASES[name], before, folder


@pytest.mark.parametrize("stays", [False, True], ids=["once", "full"])
@pytest.mark.parametrize("name", CASES)
def test_a_full_disk(name: str, stays: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case, before, folder = begin(name, tmp_path, monkeypatch)

    def run() -> None:
        monkeypatch.chdir(folder)
        case.run()

    messages = []
    for message in full_disks(before, folder, run, stays):
        messages.append(message)
        assert "No space left" in message
        check_datasets(folder)
        case.go_on()
    assert len(messages) > 2


@pytest.mark.parametrize("name", CASES)
def test_a_kill(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case, before, folder = begin(name, tmp_path, monkeypatch)

    def run() -> None:
        monkeypatch.chdir(folder)
        case.run()

    points = []
    for n in kills(before, folder, run):
        points.append(n)
        monkeypatch.chdir(folder)
        check_datasets(folder)
        case.go_on()
    assert len(points) > 2 and points[-1] > 5


def test_a_store_whose_making_was_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same folder can be used again."""
    _, before, folder = begin("grow", tmp_path, monkeypatch)
    again = []
    for _ in kills(before, folder, lambda: EpisodeStore.create(folder / "out", SHAPE)):
        if not (folder / "out" / "index.json").exists():
            again.append(make_store(folder / "out", 1))
        check(EpisodeStore.open(folder / "out"))
    for _ in full_disks(before, folder, lambda: EpisodeStore.create(folder / "out", SHAPE), True):
        if not (folder / "out" / "index.json").exists():
            again.append(make_store(folder / "out", 1))
    assert len(again) > 8 and all(store.num_episodes == 1 for store in again)
