"""An agent in a checkpoint such as a run writes."""

from __future__ import annotations

from pathlib import Path

import torch

from adamas.agent import Agent, AgentConfig
from adamas.core.checkpoint import save_checkpoint
from adamas.core.config import to_dict, with_value
from tests.helpers.tiny_agent import tiny_agent_config

CONFIG = with_value(
    tiny_agent_config(obs_shape=(3, 8, 8), actions=("stay", "go")), "world_model.denoiser.sigma_offset", 0.05
)


def save(run: Path, step: int, config: AgentConfig = CONFIG) -> Agent:
    """A checkpoint such as a run writes."""
    torch.manual_seed(step)
    agent = Agent(config)
    settings = {"agent": to_dict(config), "run": {"seed": 0}}
    save_checkpoint(run / "checkpoints", step, agent.state_dict(), settings, {})
    return agent


def same(a: Agent, b: Agent) -> bool:
    return all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )
