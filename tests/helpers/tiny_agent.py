"""Configurations of networks that are as small as possible, and of an agent that is made of them."""

from __future__ import annotations

from typing import Any

from torch import Generator, nn

from adamas.agent import AgentConfig
from adamas.core.actions import ActionSpec
from adamas.diffusion.edm import EdmConfig
from adamas.diffusion.samplers import SamplerConfig
from adamas.nn.unet import FrameNetworkConfig
from adamas.rl.actor_critic import ActorCriticConfig
from adamas.world_models.diamond.reward_end import RewardEndConfig
from adamas.world_models.diamond.world import DiamondConfig


def tiny_network(
    context_length: int = 2, cond_channels: int = 16, levels: int = 1, **fields: Any
) -> FrameNetworkConfig:
    """The network of a denoiser with one block of 8 channels on each level, and no self-attention but in the middle."""
    return FrameNetworkConfig(
        context_length=context_length,
        cond_channels=cond_channels,
        depths=(1,) * levels,
        channels=(8,) * levels,
        attn_depths=(False,) * levels,
        **fields,
    )


def tiny_reward_end(levels: int = 1, **fields: Any) -> RewardEndConfig:
    """A reward/end model with one block of 8 channels on each level."""
    return RewardEndConfig(
        lstm_dim=8,
        cond_channels=8,
        depths=(1,) * levels,
        channels=(8,) * levels,
        attn_depths=(False,) * levels,
        **fields,
    )


def tiny_agent_config(
    *,
    obs_shape: tuple[int, int, int] = (3, 10, 10),
    actions: tuple[str, ...] = ("noop", "left", "right"),
    context_length: int = 2,
    cond_channels: int = 16,
    **sampler: Any,
) -> AgentConfig:
    """An agent of these networks, by default for MinAtar Breakout; ``sampler`` are fields of its sampler."""
    return AgentConfig(
        obs_shape=obs_shape,
        actions=ActionSpec.discrete(actions),
        world_model=DiamondConfig(
            denoiser=EdmConfig(network=tiny_network(context_length, cond_channels)),
            reward_end=tiny_reward_end(),
            sampler=SamplerConfig(**sampler),
        ),
        actor_critic=ActorCriticConfig(lstm_dim=8, channels=(8,), down=(True,)),
    )


def fill_zeros(module: nn.Module, std: float = 0.1, generator: Generator | None = None) -> None:
    """Draw the parameters that start at 0 from a normal distribution, so that everything in the module counts."""
    for parameter in module.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=std, generator=generator)
