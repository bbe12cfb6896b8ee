"""A world model that counts, episodes to begin its dreams, and a run of an agent that knows nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from adamas.agent import Agent
from adamas.core.checkpoint import save_checkpoint
from adamas.core.config import to_dict
from tests.helpers.counting_model import CONFIG, CountingModel, write


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Its contexts end in frames 12, 22, 23 and 24; no frame follows the only one of episode 0."""
    return write(tmp_path / "dataset", (3, 4, 6))


@pytest.fixture
def counting() -> Agent:
    agent = Agent(CONFIG)
    agent.world_model = CountingModel()
    return agent


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with an agent of random weights."""
    torch.manual_seed(0)
    agent = Agent(CONFIG)
    save_checkpoint(tmp_path / "run" / "checkpoints", 1, agent.state_dict(), {"agent": to_dict(CONFIG)}, {})
    write(tmp_path / "run" / "dataset" / "train", (20, 20))
    return tmp_path / "run"
