"""Long episodes are summarised and split as short ones are, and never held in memory as a whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adamas.data import NEW, EpisodeStore
from adamas.data.inspect import COMPARED, contact_sheet, summary
from adamas.data.split import COPIED, split
from adamas.data.view import Frames

SHAPE = (1, 2, 2)


class Counted:
    """Frames that remember how many were read at once."""

    def __init__(self, frames: Frames) -> None:
        self.frames, self.most = frames, 0

    @property
    def nbytes(self) -> int:
        return self.frames.nbytes

    def __getitem__(self, row: np.ndarray) -> np.ndarray:
        self.most = max(self.most, row.size)
        return self.frames[row]


def make_store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[EpisodeStore, Counted]:
    """Episodes of 151, 2 and 65 frames; every tenth frame is that before it."""
    store = EpisodeStore.create(folder, SHAPE)
    for length in (151, 2, 65):
        number, no = np.array([NEW]), np.array([False])
        frames = np.random.default_rng(length).integers(256, size=(length, *SHAPE), dtype=np.uint8)
        frames[10::10] = frames[9:-1:10]
        for t in range(length - 1):
            reward = np.array([t % 3 - 1.0])
            number = store.append(
                number, frames[t : t + 1], np.array([t]), reward, no, np.array([t == length - 2])
            )
        store.append_final(number, frames[-1:])
    store.commit()
    counted = Counted(store.view.frames)
    store._cached_view = replace(store.view, frames=counted)
    monkeypatch.setattr(store, "verify", lambda: iter(()))
    return store, counted


def test_a_summary_and_a_sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, counted = make_store(tmp_path, monkeypatch)
    lines = summary(store)
    assert lines[2] == "rewards: 71 positive, 73 negative; ends: 0 true, 3 cut off"
    assert lines[3] == f"frames equal to the one before: {21 / 215:.1%}"
    assert counted.most == COMPARED + 1 == 65
    counted.most = 0
    assert contact_sheet(store).shape == (3 * 2 * 80, 8 * 2 * 80, 3) and counted.most == 8


@pytest.mark.parametrize("cut", [None, 40, 100])
def test_a_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int | None) -> None:
    store, counted = make_store(tmp_path / "mine", monkeypatch)
    parts = dict(split(store, tmp_path / "out", 0.4, np.random.default_rng(0), cut))
    assert counted.most <= COPIED + 1 == 65
    step = cut or 1000
    expected = [
        (whole.obs[t : t + step + 1].tobytes(), whole.action[t : t + step].tobytes())
        for whole in store
        for t in range(0, len(whole), step)
    ]
    pieces = [*parts["train"], *parts["test"]]
    assert sorted((piece.obs.tobytes(), piece.action.tobytes()) for piece in pieces) == sorted(expected)
    assert all(piece.truncated.tolist() == [False] * (len(piece) - 1) + [True] for piece in pieces)
