"""Presets for MinAtar: small games that a laptop learns in minutes."""

from __future__ import annotations

import functools
from dataclasses import replace

from adamas.core.config import with_value
from adamas.core.runtime import RuntimeConfig
from adamas.envs.config import MinAtarConfig
from adamas.presets import paper
from adamas.rl.actor_critic import ActorCriticConfig
from adamas.rl.part_training import ComponentTraining, PolicyTraining
from adamas.training.config import Config
from adamas.world_models.diamond.training import DiamondTraining
from adamas.world_models.diamond.world import DiamondConfig


def _world_model() -> DiamondConfig:
    """A world model of frames of 10x10 that draws each in one step."""
    return DiamondConfig(
        denoiser=replace(
            paper.DENOISER,
            network=replace(
                paper.NETWORK,
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
        reward_end=replace(
            paper.REWARD_END,
            lstm_dim=128,
            cond_channels=32,
            depths=(1, 1),
            channels=(16, 16),
            attn_depths=(False, False),
            segment_length=34,
        ),
        sampler=replace(paper.SAMPLER, num_steps=1),
        upsampler=None,
    )


def _training() -> DiamondTraining:
    """How ``quickstart`` trains."""
    return DiamondTraining(
        denoiser=ComponentTraining(
            optimizer=replace(paper.OPTIMIZER, lr=4e-3),
            batch_size=32,
            start_epoch=1,
            first_epoch_updates=1_100,
            updates_per_epoch=75,
            average_decay=0.997,
        ),
        reward_end=ComponentTraining(
            optimizer=replace(paper.OPTIMIZER, lr=1e-3, max_grad_norm=100.0),
            batch_size=8,
            start_epoch=1,
            first_epoch_updates=250,
            updates_per_epoch=30,
            average_decay=0.0,
        ),
        upsampler=None,
        actor_critic=PolicyTraining(
            # If the policy exploits a flaw of the world model, gradients become four times larger (docs/findings.md).
            optimizer=replace(paper.OPTIMIZER, lr=2e-3, weight_decay=0.0, max_grad_norm=0.5),
            learner=replace(paper.LEARNER, gamma=0.97, entropy_weight=0.01),
            num_dreams=128,
            steps_per_update=4,
            start_epoch=1,
            first_epoch_updates=55,
            updates_per_epoch=55,
        ),
    )


def quickstart() -> Config:
    """MinAtar Breakout in about a quarter of an hour on two CPU cores, with 50,000 real steps."""
    return Config(
        env=MinAtarConfig(game="breakout", size=10, sticky_actions=0.1, max_episode_steps=None),
        world_model=_world_model(),
        actor_critic=ActorCriticConfig(lstm_dim=256, channels=(16, 32), down=(True, False)),
        horizon=60,
        collection=replace(
            paper.COLLECTION,
            num_envs=16,
            first_steps=5_000,
            first_steps_max=10_000,
            steps_per_epoch=3_000,
            total_steps=50_000,
            epsilon=0.1,
            age_weights=(0.2, 0.2, 0.2, 0.4),
            episode_weighting="length",
        ),
        training=_training(),
        imagination="on",
        num_shards=2,
        final_epochs=0,
        evaluation=replace(
            paper.EVALUATION,
            every_epochs=3,
            episodes=16,
            final_episodes=100,
            num_envs=16,
            heldout_windows=128,
        ),
        # Frames are too small for operations in several threads, so batches are split into shards instead.
        runtime=RuntimeConfig(device="cpu", threads=1),
    )


def quickstart_long() -> Config:
    """``quickstart`` for an hour of training, with 100,000 real steps.

    A single denoising step predicts the mean of all possible next frames. So the dreams of ``quickstart`` never show
    the game's sticky actions. An agent can play them perfectly and still lose the ball in the game. This preset
    takes three steps from EDM's initial noise, which draw a sticky action as often as it happens in the game.
    """
    changes = {
        "world_model.sampler.num_steps": 3,
        "world_model.sampler.sigma_min": 0.5,
        "world_model.sampler.scale_initial_noise": True,
        "collection.steps_per_epoch": 2_000,
        "collection.total_steps": 100_000,
        "training.actor_critic.optimizer.lr": 1e-3,
        "training.actor_critic.optimizer.max_grad_norm": 100.0,
        "training.actor_critic.updates_per_epoch": 70,
        "final_epochs": 6,
        "evaluation.every_epochs": 6,
    }
    return functools.reduce(lambda config, change: with_value(config, *change), changes.items(), quickstart())
