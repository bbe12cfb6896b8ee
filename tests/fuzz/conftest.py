"""A small run, and a copy of it for every test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from small_runs import make_breakout_run


@pytest.fixture(scope="session")
def run_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("minatar")
    run = tmp_path_factory.mktemp("fuzz") / "run"
    make_breakout_run(run)
    return run


@pytest.fixture
def run(run_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that run, called RUN, in the working folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run_once, "RUN")
    return Path("RUN")
