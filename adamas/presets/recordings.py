"""Presets that train a world model on recordings, without a policy."""

from __future__ import annotations

from adamas.core.runtime import RuntimeConfig
from adamas.diffusion.denoiser import DenoiserConfig
from adamas.diffusion.samplers import SamplerConfig
from adamas.diffusion.upsampler import UpsamplerConfig
from adamas.envs.config import EnvConfig
from adamas.nn.unet import FrameNetworkConfig
from adamas.rl.actor_critic import ActorCriticConfig
from adamas.training.config import ComponentTraining, Config, EvaluationConfig, PolicyTraining
from adamas.training.optim import OptimizerConfig
from adamas.world_models.diamond import DiamondConfig


def vizdoom() -> Config:
    """A maze of ViZDoom in two stages, 24x32 and 120x160, in an hour on two CPU cores."""
    return Config(
        env=EnvConfig("vizdoom", "my_way_home", size=120, width=160, frame_skip=2, max_episode_steps=300),
        data="doom",
        world_model=DiamondConfig(
            DenoiserConfig(
                FrameNetworkConfig(4, 128, (2, 2, 2), (32, 64, 64), (False,) * 3, noise_cond=True),
                sigma_offset=0.1,
                log_sigma_mean=-0.4,
                noise_previous_obs=True,
            ),
            reward_end=None,
            sampler=SamplerConfig(num_steps=3, s_cond=0.005),
            upsampler=UpsamplerConfig(
                FrameNetworkConfig(1, 64, (1, 1, 1, 1), (16, 24, 32, 64), (False,) * 4, noise_cond=True),
                num_autoregressive_steps=1,
                sampler=SamplerConfig(num_steps=1),
            ),
        ),
        actor_critic=ActorCriticConfig(64, (8, 8, 16, 16), (True,) * 4),
        denoiser=ComponentTraining(OptimizerConfig(1e-3, 1e-2), 32, 300, 300, average_decay=0.998),
        upsampler=ComponentTraining(OptimizerConfig(1e-3, 1e-2), 8, 100, 100, average_decay=0.998),
        policy=PolicyTraining(horizon=18),
        num_shards=2,
        final_epochs=10,
        evaluation=EvaluationConfig(every_epochs=1, heldout_windows=32),
        runtime=RuntimeConfig(device="cpu", threads=1),
    )
