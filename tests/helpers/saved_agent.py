"""An agent in a checkpoint such as a run writes."""

from __future__ import annotations

from pathlib import Path

import torch

from adamas.agent import Agent, AgentConfig
from adamas.core.actions import ActionSpec
from adamas.core.checkpoint import save_checkpoint
from adamas.core.config import to_dict
from adamas.diffusion.edm import EdmConfig
from adamas.nn.unet import FrameNetworkConfig
from adamas.rl.actor_critic import ActorCriticConfig
from adamas.world_models.diamond import DiamondConfig
from adamas.world_models.reward_end import RewardEndConfig

CONFIG = AgentConfig(
    obs_shape=(3, 8, 8),
    actions=ActionSpec.discrete(("stay", "go")),
    world_model=DiamondConfig(
        denoiser=EdmConfig(
            network=FrameNetworkConfig(
                context_length=2, cond_channels=8, depths=(1,), channels=(8,), attn_depths=(False,)
            ),
            sigma_offset=0.05,
        ),
        reward_end=RewardEndConfig(
            lstm_dim=8, cond_channels=8, depths=(1,), channels=(8,), attn_depths=(False,)
        ),
    ),
    actor_critic=ActorCriticConfig(lstm_dim=8, channels=(8,), down=(True,)),
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
