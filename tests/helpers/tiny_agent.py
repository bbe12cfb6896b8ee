"""The configuration of a tiny agent for MinAtar Breakout."""

from __future__ import annotations

from adamas.agent import AgentConfig
from adamas.core.actions import ActionSpec
from adamas.diffusion.edm import EdmConfig
from adamas.diffusion.samplers import SamplerConfig
from adamas.nn.unet import FrameNetworkConfig
from adamas.rl.actor_critic import ActorCriticConfig
from adamas.world_models.diamond import DiamondConfig
from adamas.world_models.reward_end import RewardEndConfig


def tiny_agent_config(context_length: int, num_steps: int) -> AgentConfig:
    """Networks with 8 channels, for frames of 10x10 and three actions; dreams take ``num_steps`` denoising steps."""
    network = FrameNetworkConfig(
        context_length=context_length, cond_channels=16, depths=(1,), channels=(8,), attn_depths=(False,)
    )
    return AgentConfig(
        obs_shape=(3, 10, 10),
        actions=ActionSpec.discrete(("noop", "left", "right")),
        world_model=DiamondConfig(
            denoiser=EdmConfig(network=network),
            reward_end=RewardEndConfig(
                lstm_dim=8, cond_channels=8, depths=(1,), channels=(8,), attn_depths=(False,)
            ),
            sampler=SamplerConfig(num_steps=num_steps),
        ),
        actor_critic=ActorCriticConfig(lstm_dim=8, channels=(8,), down=(True,)),
    )
