"""Presets for Atari games."""

from __future__ import annotations

from collections.abc import Mapping

from adamas.core.runtime import RuntimeConfig
from adamas.diffusion.edm import EdmConfig
from adamas.diffusion.samplers import SamplerConfig
from adamas.envs.config import AtariConfig, EnvConfig
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

GAME_OVERRIDES: Mapping[str, Mapping[str, float]] = {
    # The first reward of Freeway is hundreds of steps away, and a policy that moves back and forth never reaches it. A
    # low temperature makes the policy nearly greedy, so that it repeats one action. IRIS uses this temperature (Micheli
    # et al. 2023, appendix H). So does DIAMOND: its configuration does not contain it, but its authors confirm it at
    # https://github.com/eloialonso/diamond/issues/34.
    "freeway": {"collection.temperature": 0.01},
}
"""Settings that the published results of a single game need. Keys are names of games in lower-case letters; values map
dotted keys of :class:`~adamas.training.config.Config` to settings."""


def game_overrides(env: EnvConfig) -> Mapping[str, float]:
    """The settings in :data:`GAME_OVERRIDES` for the game of ``env``; empty if it is not an Atari game."""
    name = "".join(filter(str.isalnum, env.game)).lower()
    return GAME_OVERRIDES.get(name, {}) if isinstance(env, AtariConfig) else {}


def _world_model() -> DiamondConfig:
    """The published world model of Atari games."""
    return DiamondConfig(
        denoiser=EdmConfig(
            network=FrameNetworkConfig(
                context_length=4,
                cond_channels=256,
                depths=(2, 2, 2, 2),
                channels=(64, 64, 64, 64),
                attn_depths=(False, False, False, False),
                noise_cond=False,
                context="frames",
            ),
            sigma_offset=0.3,
            sigma_data=0.5,
            sigma_change=None,
            log_sigma_mean=-0.4,
            log_sigma_std=1.2,
            sigma_min=2e-3,
            sigma_max=20.0,
            num_autoregressive_steps=1,
            quantise=True,
            final_frames=True,  # differs from the published code: see docs/departures.md
            noise_previous_obs=False,
        ),
        reward_end=RewardEndConfig(
            lstm_dim=512,
            cond_channels=128,
            depths=(2, 2, 2, 2),
            channels=(32, 32, 32, 32),
            attn_depths=(False, False, False, False),
            segment_length=None,
        ),
        sampler=SamplerConfig(
            num_steps=3,
            method="euler",
            sigma_min=2e-3,
            sigma_max=5.0,
            rho=7.0,
            s_churn=0.0,
            scale_initial_noise=False,
            s_cond=0.0,
        ),
        upsampler=None,
    )


def _component(max_grad_norm: float) -> ComponentTraining:
    """The published training of the denoiser and of the reward/end model, which differ in gradient clipping alone."""
    return ComponentTraining(
        optimizer=_optimizer(weight_decay=1e-2, max_grad_norm=max_grad_norm),
        batch_size=32,
        first_epoch_updates=10_000,
        updates_per_epoch=400,
        average_decay=0.0,
    )


def _optimizer(weight_decay: float, max_grad_norm: float) -> OptimizerConfig:
    """The published optimiser."""
    return OptimizerConfig(
        lr=1e-4, weight_decay=weight_decay, eps=1e-8, warmup_updates=100, max_grad_norm=max_grad_norm
    )


def atari100k() -> Config:
    """The published configuration for the Atari 100k benchmark, without changes of size. Meant for a GPU.

    A run takes 100,000 real steps and about 400,000 updates of each network. All numbers are from the configuration
    files of the published code at commit 17c7764. Other differences from that code are in docs/departures.md. Some
    games need other settings, which are in :data:`GAME_OVERRIDES`.
    """
    return Config(
        env=AtariConfig(
            game="Breakout",
            size=64,
            frame_skip=4,
            noop_max=30,
            sticky_actions=0.0,
            max_episode_steps=None,
            life_loss_ends=True,
        ),
        world_model=_world_model(),
        actor_critic=ActorCriticConfig(lstm_dim=512, channels=(32, 32, 64, 64), down=(True,) * 4),
        collection=CollectionConfig(
            num_envs=1,
            first_steps=5_000,
            first_steps_max=10_000,
            min_rare_rewards=10,
            steps_per_epoch=100,
            total_steps=100_000,
            epsilon=0.01,
            temperature=1.0,
            age_weights=(0.1, 0.1, 0.1, 0.7),
            episode_weighting="equal",
        ),
        denoiser=_component(max_grad_norm=1.0),
        reward_end=_component(max_grad_norm=100.0),
        policy=PolicyTraining(
            optimizer=_optimizer(weight_decay=0.0, max_grad_norm=100.0),
            loss=ActorCriticLossConfig(gamma=0.985, lambda_=0.95, entropy_weight=0.001, value_weight=1.0),
            num_dreams=32,
            steps_per_update=15,
            horizon=15,
            first_epoch_updates=5_000,
            updates_per_epoch=400,
        ),
        imagination="on",
        num_shards=1,
        final_epochs=50,
        # The published code evaluates in a single environment: see docs/departures.md.
        evaluation=EvaluationConfig(
            every_epochs=10, episodes=4, final_episodes=100, num_envs=4, temperature=1.0
        ),
    )


def _small_world_model() -> DiamondConfig:
    """A world model of frames of 32x32 that a CPU trains."""
    return DiamondConfig(
        denoiser=EdmConfig(
            network=FrameNetworkConfig(
                context_length=4,
                cond_channels=64,
                depths=(1, 1, 1),
                channels=(16, 32, 32),
                attn_depths=(False,) * 3,
            ),
            sigma_offset=0.1,
        ),
        reward_end=RewardEndConfig(
            lstm_dim=128,
            cond_channels=64,
            depths=(1, 1, 1),
            channels=(16, 16, 32),
            attn_depths=(False,) * 3,
        ),
        sampler=SamplerConfig(num_steps=2),
    )


def atari_small() -> Config:
    """The whole pipeline on an Atari game, small enough for a CPU: frames of 32x32 pixels and small networks.

    It shows that everything works on a real game, and what dreams of this size look like. It is not a benchmark.
    """
    return Config(
        env=AtariConfig(game="Pong", size=32),
        world_model=_small_world_model(),
        actor_critic=ActorCriticConfig(lstm_dim=256, channels=(16, 32, 32), down=(True,) * 3),
        collection=CollectionConfig(
            num_envs=4,
            first_steps=4_000,
            first_steps_max=8_000,
            steps_per_epoch=1_000,
            total_steps=10_000,
            episode_weighting="length",
        ),
        denoiser=ComponentTraining(
            optimizer=OptimizerConfig(lr=1e-3, weight_decay=1e-2),
            batch_size=32,
            first_epoch_updates=800,
            updates_per_epoch=150,
            average_decay=0.998,
        ),
        reward_end=ComponentTraining(
            optimizer=OptimizerConfig(lr=5e-4, weight_decay=1e-2, max_grad_norm=100.0),
            batch_size=8,
            first_epoch_updates=200,
            updates_per_epoch=50,
        ),
        policy=PolicyTraining(
            optimizer=OptimizerConfig(lr=5e-4, weight_decay=0.0, max_grad_norm=100.0),
            loss=ActorCriticLossConfig(entropy_weight=0.01),
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
    """Every phase once on an Atari game, in less than a minute. Meant for tests, and so in fp32 on all machines."""
    return Config(
        env=AtariConfig(game="Breakout", size=16, max_episode_steps=100),
        world_model=DiamondConfig(
            denoiser=EdmConfig(
                network=FrameNetworkConfig(
                    context_length=4,
                    cond_channels=16,
                    depths=(1, 1),
                    channels=(8, 8),
                    attn_depths=(False, False),
                )
            ),
            reward_end=RewardEndConfig(
                lstm_dim=16, cond_channels=16, depths=(1, 1), channels=(8, 8), attn_depths=(False, False)
            ),
            sampler=SamplerConfig(num_steps=2),
        ),
        actor_critic=ActorCriticConfig(lstm_dim=16, channels=(8, 8), down=(True, True)),
        collection=CollectionConfig(
            num_envs=2,
            first_steps=80,
            first_steps_max=80,
            min_rare_rewards=0,
            steps_per_epoch=40,
            total_steps=160,
            episode_weighting="length",
        ),
        denoiser=ComponentTraining(
            optimizer=OptimizerConfig(),
            batch_size=4,
            first_epoch_updates=3,
            updates_per_epoch=3,
            average_decay=0.9,
        ),
        reward_end=ComponentTraining(
            optimizer=OptimizerConfig(max_grad_norm=100.0),
            batch_size=4,
            first_epoch_updates=3,
            updates_per_epoch=3,
        ),
        policy=PolicyTraining(
            num_dreams=4, steps_per_update=5, horizon=4, first_epoch_updates=3, updates_per_epoch=3
        ),
        final_epochs=0,
        evaluation=EvaluationConfig(
            every_epochs=1, episodes=2, final_episodes=2, num_envs=2, heldout_steps=40, heldout_windows=4
        ),
        runtime=RuntimeConfig(device="cpu", threads=1, precision="fp32"),
    )
