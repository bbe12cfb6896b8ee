"""Recordings to train on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.small_recordings import record


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    record(tmp_path / "mine" / "train", 6, 0)
    record(tmp_path / "mine" / "test", 3, 1)
    return tmp_path / "mine"
