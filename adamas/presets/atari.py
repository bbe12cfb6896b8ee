"""Presets for Atari games."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from adamas.core.names import folded
from adamas.core.runtime import RuntimeConfig
from adamas.envs.config import AtariConfig, EnvConfig
from adamas.presets import paper
from adamas.rl.actor_critic import ActorCriticConfig
from adamas.rl.part_training import ComponentTraining, PolicyTraining
from adamas.training.config import Config
from adamas.world_models.diamond.training import DiamondTraining
from adamas.world_models.diamond.world import DiamondConfig

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
    name = folded(env.game)
    return GAME_OVERRIDES.get(name, {}) if isinstance(env, AtariConfig) else {}


def atari100k() -> Config:
    """The published configuration for the Atari 100k benchmark, without changes of size. Meant for a GPU.

    A run takes 100,000 real steps and about 400,000 updates of each network. All numbers, and where they come from, are
    in :mod:`adamas.presets.paper`. Some games need other settings, which are in :data:`GAME_OVERRIDES`.
    """
    return Config(
        env=paper.GAME,
        world_model=DiamondConfig(
            denoiser=paper.DENOISER, reward_end=paper.REWARD_END, sampler=paper.SAMPLER, upsampler=None
        ),
        actor_critic=paper.ACTOR_CRITIC,
        horizon=15,
        collection=paper.COLLECTION,
        training=DiamondTraining(
            denoiser=paper.DENOISER_TRAINING,
            reward_end=paper.REWARD_END_TRAINING,
            upsampler=None,
            actor_critic=paper.POLICY_TRAINING,
        ),
        imagination="on",
        num_shards=1,
        final_epochs=50,
        evaluation=paper.EVALUATION,
    )


def _small_world_model() -> DiamondConfig:
    """A world model of frames of 32x32 that a CPU trains."""
    return DiamondConfig(
        denoiser=replace(
            paper.DENOISER,
            network=replace(
                paper.NETWORK,
                context_length=4,
                cond_channels=64,
                depths=(1, 1, 1),
                channels=(16, 32, 32),
                attn_depths=(False,) * 3,
            ),
            sigma_offset=0.1,
        ),
        reward_end=replace(
            paper.REWARD_END,
            lstm_dim=128,
            cond_channels=64,
            depths=(1, 1, 1),
            channels=(16, 16, 32),
            attn_depths=(False,) * 3,
        ),
        sampler=replace(paper.SAMPLER, num_steps=2),
        upsampler=None,
    )


def _small_training() -> DiamondTraining:
    """How ``atari-small`` trains."""
    return DiamondTraining(
        denoiser=ComponentTraining(
            optimizer=replace(paper.OPTIMIZER, lr=1e-3),
            batch_size=32,
            start_epoch=1,
            first_epoch_updates=800,
            updates_per_epoch=150,
            average_decay=0.998,
        ),
        reward_end=ComponentTraining(
            optimizer=replace(paper.OPTIMIZER, lr=5e-4, max_grad_norm=100.0),
            batch_size=8,
            start_epoch=1,
            first_epoch_updates=200,
            updates_per_epoch=50,
            average_decay=0.0,
        ),
        upsampler=None,
        actor_critic=PolicyTraining(
            optimizer=replace(paper.OPTIMIZER, lr=5e-4, weight_decay=0.0, max_grad_norm=100.0),
            learner=replace(paper.LEARNER, entropy_weight=0.01),
            num_dreams=32,
            steps_per_update=15,
            start_epoch=1,
            first_epoch_updates=50,
            updates_per_epoch=50,
        ),
    )


def atari_small() -> Config:
    """The whole pipeline on an Atari game, small enough for a CPU: frames of 32x32 pixels and small networks.

    It shows that everything works on a real game, and what dreams of this size look like. It is not a benchmark.
    """
    return Config(
        env=replace(paper.GAME, game="Pong", size=32),
        world_model=_small_world_model(),
        actor_critic=ActorCriticConfig(lstm_dim=256, channels=(16, 32, 32), down=(True,) * 3),
        horizon=15,
        collection=replace(
            paper.COLLECTION,
            num_envs=4,
            first_steps=4_000,
            first_steps_max=8_000,
            steps_per_epoch=1_000,
            total_steps=10_000,
            episode_weighting="length",
        ),
        training=_small_training(),
        imagination="on",
        num_shards=2,
        final_epochs=0,
        evaluation=replace(paper.EVALUATION, every_epochs=2, episodes=2, final_episodes=4, heldout_steps=800),
        runtime=RuntimeConfig(device="cpu", threads=1),
    )


def _debug_training() -> DiamondTraining:
    """Three updates of each network in each epoch."""
    return DiamondTraining(
        denoiser=ComponentTraining(
            optimizer=paper.OPTIMIZER,
            batch_size=4,
            start_epoch=1,
            first_epoch_updates=3,
            updates_per_epoch=3,
            average_decay=0.9,
        ),
        reward_end=ComponentTraining(
            optimizer=replace(paper.OPTIMIZER, max_grad_norm=100.0),
            batch_size=4,
            start_epoch=1,
            first_epoch_updates=3,
            updates_per_epoch=3,
            average_decay=0.0,
        ),
        upsampler=None,
        actor_critic=replace(
            paper.POLICY_TRAINING,
            num_dreams=4,
            steps_per_update=5,
            start_epoch=1,
            first_epoch_updates=3,
            updates_per_epoch=3,
        ),
    )


def debug() -> Config:
    """Every phase once on an Atari game, in less than a minute.

    It is meant for tests, so it computes in fp32 on all machines.
    """
    return Config(
        env=replace(paper.GAME, size=16, max_episode_steps=100),
        world_model=DiamondConfig(
            denoiser=replace(
                paper.DENOISER,
                network=replace(
                    paper.NETWORK,
                    context_length=4,
                    cond_channels=16,
                    depths=(1, 1),
                    channels=(8, 8),
                    attn_depths=(False, False),
                ),
            ),
            reward_end=replace(
                paper.REWARD_END,
                lstm_dim=16,
                cond_channels=16,
                depths=(1, 1),
                channels=(8, 8),
                attn_depths=(False, False),
            ),
            sampler=replace(paper.SAMPLER, num_steps=2),
            upsampler=None,
        ),
        actor_critic=ActorCriticConfig(lstm_dim=16, channels=(8, 8), down=(True, True)),
        horizon=4,
        collection=replace(
            paper.COLLECTION,
            num_envs=2,
            first_steps=80,
            first_steps_max=80,
            min_rare_rewards=0,
            steps_per_epoch=40,
            total_steps=160,
            episode_weighting="length",
        ),
        training=_debug_training(),
        imagination="on",
        num_shards=1,
        final_epochs=0,
        evaluation=replace(
            paper.EVALUATION,
            every_epochs=1,
            episodes=2,
            final_episodes=2,
            num_envs=2,
            heldout_steps=40,
            heldout_windows=4,
        ),
        runtime=RuntimeConfig(device="cpu", threads=1, precision="fp32"),
    )
