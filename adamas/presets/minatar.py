"""Presets for MinAtar: small games that a laptop learns in minutes."""

from __future__ import annotations

from dataclasses import replace

from adamas.core.runtime import RuntimeConfig
from adamas.diffusion.edm import EdmConfig
from adamas.diffusion.samplers import SamplerConfig
from adamas.envs.config import MinAtarConfig
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


def _world_model() -> DiamondConfig:
    """A world model of frames of 10x10 that draws each in one step."""
    return DiamondConfig(
        denoiser=EdmConfig(
            network=FrameNetworkConfig(
                context_length=4,
                cond_channels=64,
                depths=(1, 1),
                channels=(16, 32),
                attn_depths=(False, False),
            ),
            sigma_offset=0.05,
            # The sampler takes a single step from sigma_max = 5, so train near that noise level.
            log_sigma_mean=1.2,
            log_sigma_std=1.0,
        ),
        # Half a dream and its context. Training on sequences of a whole dream (64 frames) takes twice as long.
        reward_end=RewardEndConfig(
            lstm_dim=128,
            cond_channels=32,
            depths=(1, 1),
            channels=(16, 16),
            attn_depths=(False, False),
            segment_length=34,
        ),
        sampler=SamplerConfig(num_steps=1),
    )


def quickstart() -> Config:
    """MinAtar Breakout in about a quarter of an hour on two CPU cores, with 50,000 real steps."""
    return Config(
        env=MinAtarConfig(game="breakout", size=10),
        world_model=_world_model(),
        actor_critic=ActorCriticConfig(lstm_dim=256, channels=(16, 32), down=(True, False)),
        collection=CollectionConfig(
            num_envs=16,
            first_steps=5_000,
            first_steps_max=10_000,
            steps_per_epoch=3_000,
            total_steps=50_000,
            epsilon=0.1,
            age_weights=(0.2, 0.2, 0.2, 0.4),
            episode_weighting="length",
        ),
        denoiser=ComponentTraining(
            optimizer=OptimizerConfig(lr=4e-3, weight_decay=1e-2),
            batch_size=32,
            first_epoch_updates=1_100,
            updates_per_epoch=75,
            average_decay=0.997,
        ),
        reward_end=ComponentTraining(
            optimizer=OptimizerConfig(lr=1e-3, weight_decay=1e-2, max_grad_norm=100.0),
            batch_size=8,
            first_epoch_updates=250,
            updates_per_epoch=30,
        ),
        policy=PolicyTraining(
            # If the policy exploits a flaw of the world model, gradients become four times larger (docs/findings.md).
            optimizer=OptimizerConfig(lr=2e-3, weight_decay=0.0, max_grad_norm=0.5),
            loss=ActorCriticLossConfig(gamma=0.97, entropy_weight=0.01),
            num_dreams=128,
            steps_per_update=4,
            horizon=60,
            first_epoch_updates=55,
            updates_per_epoch=55,
        ),
        num_shards=2,
        final_epochs=0,
        evaluation=EvaluationConfig(
            every_epochs=3, episodes=16, final_episodes=100, num_envs=16, heldout_windows=128
        ),
        # Frames are too small for operations in several threads, so batches are split into shards instead.
        runtime=RuntimeConfig(device="cpu", threads=1),
    )


def quickstart_long() -> Config:
    """``quickstart`` for an hour of training, with at most 100,000 real steps.

    A single denoising step predicts the mean of all possible next frames. So the dreams of ``quickstart`` never show
    the game's sticky actions, and an agent that cannot improve in them still loses the ball in the game. This preset
    takes three steps from EDM's initial noise, which draw a sticky action as often as it happens in the game.
    """
    config = quickstart()
    sampler = SamplerConfig(num_steps=3, sigma_min=0.5, scale_initial_noise=True)
    return replace(
        config,
        world_model=replace(config.world_model, sampler=sampler),
        collection=replace(config.collection, steps_per_epoch=2_000, total_steps=100_000),
        policy=replace(
            config.policy,
            optimizer=replace(config.policy.optimizer, lr=1e-3, max_grad_norm=100.0),
            updates_per_epoch=70,
        ),
        final_epochs=6,
        evaluation=replace(config.evaluation, every_epochs=6),
    )
