"""The configuration of a small agent in the published format."""

from __future__ import annotations

from adamas.agent import AgentConfig
from adamas.core.actions import ActionSpec
from adamas.diffusion.edm import EdmConfig
from adamas.nn.unet import FrameNetworkConfig
from adamas.rl.actor_critic import ActorCriticConfig
from adamas.world_models.diamond.reward_end import RewardEndConfig
from adamas.world_models.diamond.world import DiamondConfig


def actions(n: int) -> ActionSpec:
    return ActionSpec.numbered(n)


SMALL = AgentConfig(
    obs_shape=(3, 16, 16),
    actions=actions(3),
    world_model=DiamondConfig(
        denoiser=EdmConfig(
            network=FrameNetworkConfig(
                context_length=2, cond_channels=16, depths=(1, 2), channels=(8, 16), attn_depths=(True, False)
            )
        ),
        reward_end=RewardEndConfig(
            lstm_dim=12, cond_channels=6, depths=(2, 1), channels=(4, 8), attn_depths=(False, True)
        ),
    ),
    actor_critic=ActorCriticConfig(lstm_dim=10, channels=(4, 8, 8), down=(True, False, True)),
)
