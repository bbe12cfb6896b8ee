"""Presets of IRIS, the world model of tokens (Micheli, Alonso, Fleuret 2023).

The numbers of ``iris-atari100k`` are from the configuration files of the published code at commit 24326aa.
"""

from __future__ import annotations

from dataclasses import replace

from adamas.core.runtime import RuntimeConfig
from adamas.envs.config import MinAtarConfig
from adamas.nn.optim import OptimizerConfig
from adamas.presets import paper
from adamas.rl.part_training import ComponentTraining, PolicyTraining
from adamas.rl.plain_actor_critic import PlainActorCriticConfig
from adamas.rl.ppo import PpoConfig
from adamas.rl.reinforce import ReinforceConfig
from adamas.training.config import CollectionConfig, Config, EvaluationConfig
from adamas.world_models.iris.autoencoder import AutoencoderConfig
from adamas.world_models.iris.dynamics import DynamicsConfig
from adamas.world_models.iris.patches import PatchAutoencoderConfig
from adamas.world_models.iris.tokenizer import TokenizerConfig
from adamas.world_models.iris.training import IrisTraining
from adamas.world_models.iris.transformer import TransformerConfig
from adamas.world_models.iris.world import IrisConfig

WORLD_MODEL = IrisConfig(
    tokenizer=TokenizerConfig(
        vocab_size=512,
        embed_dim=512,
        code_range=1 / 512,
        autoencoder=AutoencoderConfig(
            channels=(64, 64, 64, 64, 64),
            num_res_blocks=2,
            attention_sizes=(8, 16),
            latent_channels=512,
            num_groups=32,
        ),
        reconstruction="absolute",
        commitment_weight=1.0,
    ),
    dynamics=DynamicsConfig(
        transformer=TransformerConfig(num_layers=10, num_heads=4, embed_dim=256, dropout=0.1), max_blocks=20
    ),
    burn_in=20,
    restarts_at_end=False,
    perceptual="lpips",
)

OPTIMIZER = OptimizerConfig(lr=1e-4, weight_decay=0.0, eps=1e-8, warmup_updates=0, max_grad_norm=10.0)

LEARNER = ReinforceConfig(gamma=0.995, lambda_=0.95, entropy_weight=0.001, value_weight=1.0)

TOKENIZER_TRAINING = ComponentTraining(
    optimizer=OPTIMIZER,
    batch_size=256,
    start_epoch=5,
    first_epoch_updates=200,
    updates_per_epoch=200,
    average_decay=0.0,
)

DYNAMICS_TRAINING = replace(
    TOKENIZER_TRAINING, optimizer=replace(OPTIMIZER, weight_decay=0.01), batch_size=64, start_epoch=25
)

POLICY_TRAINING = PolicyTraining(
    optimizer=OPTIMIZER,
    learner=LEARNER,
    num_dreams=64,
    steps_per_update=19,
    start_epoch=50,
    first_epoch_updates=200,
    updates_per_epoch=200,
)

COLLECTION = CollectionConfig(
    num_envs=1,
    first_steps=200,
    first_steps_max=200,
    min_rare_rewards=0,
    steps_per_epoch=200,
    total_steps=100_000,
    epsilon=0.01,
    temperature=1.0,
    age_weights=(1.0,),
    episode_weighting="equal",
)


def iris_atari100k() -> Config:
    """The published configuration of IRIS for the Atari 100k benchmark, without changes of size. Meant for a GPU.

    A run takes 100,000 real steps in 600 epochs, the first of which is called epoch 0 here. A published dream has 20
    steps, of which the last one only gives the value of its frame. Here a dream has 19 steps, and the value of the
    frame after them is computed without a step. ``docs/departures.md`` lists what differs from the published code.
    """
    return Config(
        env=paper.GAME,
        world_model=WORLD_MODEL,
        actor_critic=PlainActorCriticConfig(lstm_dim=512, channels=(32, 32, 64, 64)),
        horizon=19,
        collection=COLLECTION,
        training=IrisTraining(
            tokenizer=TOKENIZER_TRAINING, dynamics=DYNAMICS_TRAINING, actor_critic=POLICY_TRAINING
        ),
        imagination="on",
        num_shards=1,
        final_epochs=100,
        evaluation=EvaluationConfig(
            every_epochs=5,
            episodes=16,
            final_episodes=100,
            num_envs=8,
            temperature=0.5,
            heldout_steps=500,
            heldout_windows=64,
        ),
    )


def _small_world_model() -> IrisConfig:
    """A world model of frames of 10x10 as 25 tokens, one for every 2x2 pixels."""
    return IrisConfig(
        tokenizer=TokenizerConfig(
            vocab_size=256,
            embed_dim=8,
            code_range=0.25,
            autoencoder=PatchAutoencoderConfig(patch_size=2, hidden_channels=64, latent_channels=32),
            reconstruction="squared",
            commitment_weight=1.0,
        ),
        # A frame of MinAtar shows where everything moves, so the past is of little use.
        dynamics=DynamicsConfig(
            transformer=TransformerConfig(num_layers=2, num_heads=4, embed_dim=64, dropout=0.0), max_blocks=4
        ),
        burn_in=3,
        restarts_at_end=True,  # at first, episodes are shorter than dreams
        perceptual="none",
    )


def _small_training() -> IrisTraining:
    """How ``iris-quickstart`` trains."""
    return IrisTraining(
        tokenizer=ComponentTraining(
            optimizer=replace(OPTIMIZER, lr=3e-3, max_grad_norm=0.1),
            batch_size=128,
            start_epoch=1,
            first_epoch_updates=6_000,
            updates_per_epoch=100,
            average_decay=0.0,
        ),
        dynamics=ComponentTraining(
            optimizer=replace(OPTIMIZER, lr=3e-3, weight_decay=0.01, warmup_updates=100, max_grad_norm=1.0),
            batch_size=32,
            start_epoch=1,
            first_epoch_updates=1_500,
            updates_per_epoch=500,
            average_decay=0.0,
        ),
        actor_critic=PolicyTraining(
            optimizer=replace(OPTIMIZER, lr=1e-3, max_grad_norm=0.5),
            learner=PpoConfig(
                gamma=0.97,
                lambda_=0.95,
                entropy_weight=0.01,
                value_weight=0.5,
                clip=0.2,
                num_epochs=4,
                num_minibatches=4,
            ),
            num_dreams=128,
            steps_per_update=16,
            start_epoch=1,
            first_epoch_updates=14,
            updates_per_epoch=14,
        ),
    )


def iris_quickstart() -> Config:
    """IRIS on MinAtar Breakout in about a quarter of an hour on two CPU cores, with 50,000 real steps."""
    return Config(
        env=MinAtarConfig(game="breakout", size=10, sticky_actions=0.1, max_episode_steps=None),
        world_model=_small_world_model(),
        actor_critic=PlainActorCriticConfig(lstm_dim=256, channels=(16, 32)),
        horizon=32,
        collection=replace(
            COLLECTION,
            num_envs=16,
            first_steps=5_000,
            first_steps_max=10_000,
            min_rare_rewards=10,
            steps_per_epoch=3_000,
            total_steps=50_000,
            epsilon=0.1,
            age_weights=(0.2, 0.2, 0.2, 0.4),
            episode_weighting="length",
        ),
        training=_small_training(),
        imagination="on",
        num_shards=2,
        final_epochs=0,
        evaluation=EvaluationConfig(
            every_epochs=3,
            episodes=16,
            final_episodes=100,
            num_envs=16,
            temperature=1.0,
            heldout_steps=500,
            heldout_windows=128,
        ),
        # Frames are too small for operations in several threads, so batches are split into shards instead.
        runtime=RuntimeConfig(device="cpu", threads=1),
    )
