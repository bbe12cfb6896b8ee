"""A run of a small agent, and a page made of that run. Exporting its networks takes most of the time of these tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from adamas import cli
from adamas.agent import Agent
from adamas.core.checkpoint import save_checkpoint
from adamas.core.config import to_dict
from adamas.data import NEW, EpisodeStore
from adamas.export.web import RUNTIME
from tests.helpers.export_agent import CONFIG, SHAPE, make_agent


@pytest.fixture(scope="session")
def agent() -> Agent:
    return make_agent(CONFIG)


@pytest.fixture(scope="session")
def run(agent: Agent, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder, with two held-out episodes of noise."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    config = {"agent": to_dict(agent.config), "run": {}}
    save_checkpoint(folder / "checkpoints", 1, agent.state_dict(), config, {})
    store, rng, no = (
        EpisodeStore.create(folder / "dataset" / "test", SHAPE),
        np.random.default_rng(0),
        np.zeros(1, bool),
    )
    for length in (6, 9):
        frames = rng.integers(256, size=(length, 1, *SHAPE), dtype=np.uint8)
        number = np.array([NEW])
        for frame in frames[:-1]:
            number = store.append(number, frame, rng.integers(5, size=1), np.zeros(1, np.float32), no, no)
        store.append_final(number, frames[-1])
    store.commit()
    return folder


@pytest.fixture(scope="session")
def no_runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files that are called like onnxruntime-web's."""
    folder = tmp_path_factory.mktemp("package") / "dist"
    folder.mkdir()
    for name in RUNTIME:
        (folder / name).write_text(name)
    return folder.parent


@pytest.fixture(scope="session")
def site(run: Path, no_runtime: Path, made_once: Callable[..., Path]) -> Path:
    """What ``adamas export web`` writes."""

    def export(folder: Path) -> None:
        cli.run(["export", "web", str(run), "--out", str(folder), "--runtime", str(no_runtime)])

    return made_once("site", export)
