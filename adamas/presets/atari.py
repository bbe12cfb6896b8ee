"""Presets for Atari games."""

from __future__ import annotations

from adamas.core.runtime import RuntimeConfig
from adamas.diffusion.denoiser import DenoiserConfig
from adamas.diffusion.samplers import SamplerConfig
from adamas.envs.config import EnvConfig
from adamas.nn.unet import FrameNetworkConfig
from adamas.rl.actor_critic import ActorCriticConfig
from adamas.rl.losses import ActorCriticLossConfig
from adamas.training.config import (
    CollectionConfig,
    ComponentTraining,
    Config,
    EvaluationConfig,
    PolicyTraining,
)
from adamas.training.optim import OptimizerConfig
from adamas.world_models.diamond import DiamondConfig
from adamas.world_models.reward_end import RewardEndConfig


def atari100k() -> Config:
    """The paper's configuration, in full. Meant for a GPU: 100,000 real steps and some 400,000 updates each.

    The paper's numbers are the defaults of the configuration classes; each is stated there and nowhere else.
    """
    return Config()


def atari_small() -> Config:
    """The whole pipeline on a real Atari game at a size that a CPU cycles through: frames of 32x32, small networks.

    It shows that everything works on real input, and what a dream of this size looks like. It is not a benchmark.
    """
    return Config(
        env=EnvConfig("atari", "Pong", size=32),
        world_model=DiamondConfig(
            DenoiserConfig(
                FrameNetworkConfig(4, 64, (1, 1, 1), (16, 32, 32), (False,) * 3),
                sigma_offset=0.1,
            ),
            RewardEndConfig(128, 64, (1, 1, 1), (16, 16, 32), (False,) * 3, segment_length=19),
            SamplerConfig(num_steps=2),
        ),
        actor_critic=ActorCriticConfig(256, (16, 32, 32), (True,) * 3),
        collection=CollectionConfig(
            num_envs=4, first_steps=4_000, first_steps_max=8_000, steps_per_epoch=1_000, total_steps=10_000
        ),
        denoiser=ComponentTraining(OptimizerConfig(1e-3, 1e-2), 32, 800, 150, average_decay=0.998),
        reward_end=ComponentTraining(OptimizerConfig(5e-4, 1e-2, max_grad_norm=100.0), 8, 200, 50),
        policy=PolicyTraining(
            OptimizerConfig(5e-4, 0.0, max_grad_norm=100.0),
            ActorCriticLossConfig(entropy_weight=0.01),
            num_dreams=32,
            first_epoch_updates=50,
            updates_per_epoch=50,
        ),
        num_shards=2,
        final_epochs=0,
        evaluation=EvaluationConfig(every_epochs=2, episodes=2, final_episodes=4, heldout_steps=800),
        runtime=RuntimeConfig(device="cpu", threads=1),
    )


def debug() -> Config:
    """One cycle of everything on a real Atari game, in well under a minute: for tests, so in fp32 on every machine."""
    return Config(
        env=EnvConfig("atari", "Breakout", size=16, max_episode_steps=100),
        world_model=DiamondConfig(
            DenoiserConfig(FrameNetworkConfig(4, 16, (1, 1), (8, 8), (False, False))),
            RewardEndConfig(16, 16, (1, 1), (8, 8), (False, False), segment_length=8),
            SamplerConfig(num_steps=2),
        ),
        actor_critic=ActorCriticConfig(16, (8, 8), (True, True)),
        collection=CollectionConfig(
            num_envs=2,
            first_steps=80,
            first_steps_max=80,
            min_rare_rewards=0,
            steps_per_epoch=40,
            total_steps=160,
        ),
        denoiser=ComponentTraining(OptimizerConfig(), 4, 3, 3, average_decay=0.9),
        reward_end=ComponentTraining(OptimizerConfig(max_grad_norm=100.0), 4, 3, 3),
        policy=PolicyTraining(
            num_dreams=4, steps_per_update=5, horizon=4, first_epoch_updates=3, updates_per_epoch=3
        ),
        final_epochs=0,
        evaluation=EvaluationConfig(
            every_epochs=1, episodes=2, final_episodes=2, num_envs=2, heldout_steps=40, heldout_windows=4
        ),
        runtime=RuntimeConfig(device="cpu", threads=1, precision="fp32"),
    )
