"""What was recorded is kept, whenever the recording is interrupted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from adamas.data import NEW, EpisodeStore
from adamas.data.recording import committing


@pytest.mark.parametrize("told", [True, False])
def test_ctrl_c_during_the_last_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: bool) -> None:
    store, no = EpisodeStore.create(tmp_path, (1, 1, 1)), np.array([False])

    def interrupt() -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), committing(store) as stored:
        for _ in range(2):
            store.append(np.array([NEW]), np.ones((1, 1, 1, 1), np.uint8), np.array([3]), np.ones(1), no, no)
            if told:
                stored()
        monkeypatch.setattr(store, "commit", interrupt)
    assert EpisodeStore.open(tmp_path).num_rows == 2
