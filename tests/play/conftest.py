"""A tiny untrained agent for MinAtar Breakout, what it needs to be played, and players who note everything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from adamas.agent import Agent
from adamas.core.checkpoint import save_checkpoint
from adamas.core.config import save_config, to_dict
from adamas.data import EpisodeStore
from adamas.dreaming.starts import PlayedStarts
from adamas.play.controls import Moves
from adamas.play.messages import Settings
from adamas.play.recording import Recordings
from adamas.play.scene import PlayContext
from adamas.training.collect import Collector
from adamas.training.config import Config
from tests.helpers.diamond import policy
from tests.helpers.play_server import ENV, L, Table, breakout
from tests.helpers.tiny_agent import tiny_agent_config


@pytest.fixture(scope="session")
def agent() -> Agent:
    pytest.importorskip("minatar")
    config = tiny_agent_config(context_length=L, num_steps=2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        agent = Agent(config).eval()
        head: Any = agent.reward_end.head
        first, _, last = head
        first.bias.data.fill_(10)  # so that what follows is positive, and the game goes on for sure
        last.weight.data[3:] = torch.tensor([[1.0], [-1.0]])
        torch.nn.init.normal_(policy(agent).critic_linear.weight)
        return agent


@pytest.fixture
def shared(agent: Agent, tmp_path: Path) -> Iterator[PlayContext]:
    recordings = Recordings(tmp_path / "recordings", (3, 10, 10), agent.action_spec)
    yield PlayContext(
        agent=agent,
        moves=Moves(agent.action_spec),
        starts=PlayedStarts(breakout(False), agent),
        make_env=breakout,
        recordings=recordings,
        settings=Settings(denoising_steps=2),
        rng=np.random.default_rng(0),
        generator=torch.Generator().manual_seed(0),
    )
    recordings.close()


@pytest.fixture
def table(shared: PlayContext) -> Table:
    return Table(shared)


@pytest.fixture(scope="session")
def run(agent: Agent, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run: the agent, and 400 steps of its play."""
    folder = tmp_path_factory.mktemp("run") / "tiny"
    data = {"agent": to_dict(agent.config), "run": to_dict(replace(Config(), env=ENV))}
    save_checkpoint(folder / "checkpoints", 1, agent.state_dict(), data, {})
    save_config(folder / "config.yaml", replace(Config(), env=ENV))
    store = EpisodeStore.create(folder / "dataset" / "test", (3, 10, 10))
    with torch.no_grad():
        Collector(agent.policy, breakout(True), store, torch.Generator().manual_seed(0)).collect(400)
    store.commit()
    return folder
