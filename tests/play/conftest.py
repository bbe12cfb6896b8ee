"""A tiny untrained agent for MinAtar Breakout, what it needs to be played, and players who note everything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from adamas.agent import Agent, AgentConfig
from adamas.core.actions import ActionSpec
from adamas.core.checkpoint import save_checkpoint
from adamas.core.config import save_config, to_dict
from adamas.data import EpisodeStore
from adamas.diffusion.edm import EdmConfig
from adamas.diffusion.samplers import SamplerConfig
from adamas.dreaming.starts import PlayedStarts
from adamas.nn.unet import FrameNetworkConfig
from adamas.play.controls import Moves
from adamas.play.messages import Settings
from adamas.play.recording import Recordings
from adamas.play.scene import PlayContext
from adamas.rl.actor_critic import ActorCriticConfig
from adamas.training.collect import Collector
from adamas.training.config import Config
from adamas.world_models.diamond import DiamondConfig
from adamas.world_models.reward_end import RewardEndConfig
from tests.helpers.play_server import ENV, L, Table, breakout


@pytest.fixture(scope="session")
def agent() -> Agent:
    pytest.importorskip("minatar")
    network = FrameNetworkConfig(
        context_length=L, cond_channels=16, depths=(1,), channels=(8,), attn_depths=(False,)
    )
    config = AgentConfig(
        obs_shape=(3, 10, 10),
        actions=ActionSpec.discrete(("noop", "left", "right")),
        world_model=DiamondConfig(
            denoiser=EdmConfig(network=network),
            reward_end=RewardEndConfig(
                lstm_dim=8, cond_channels=8, depths=(1,), channels=(8,), attn_depths=(False,)
            ),
            sampler=SamplerConfig(num_steps=2),
        ),
        actor_critic=ActorCriticConfig(lstm_dim=8, channels=(8,), down=(True,)),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        agent = Agent(config).eval()
        head: Any = agent.reward_end.head
        first, _, last = head
        first.bias.data.fill_(10)  # so that what follows is positive, and the game goes on for sure
        last.weight.data[3:] = torch.tensor([[1.0], [-1.0]])
        torch.nn.init.normal_(agent.actor_critic.critic_linear.weight)
        return agent


@pytest.fixture
def shared(agent: Agent, tmp_path: Path) -> Iterator[PlayContext]:
    recordings = Recordings(tmp_path / "recordings", (3, 10, 10), agent.action_spec)
    yield PlayContext(
        agent,
        Moves(agent.action_spec),
        PlayedStarts(breakout(False), agent),
        breakout,
        recordings,
        Settings(steps=2),
        np.random.default_rng(0),
        torch.Generator().manual_seed(0),
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
        Collector(agent.actor_critic, breakout(True), store, torch.Generator().manual_seed(0)).collect(400)
    store.commit()
    return folder
