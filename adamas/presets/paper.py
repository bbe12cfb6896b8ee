"""The published numbers for Atari games, part by part. Other presets start from them and change some.

All numbers are from the configuration files of the published code at commit 17c7764. Differences from that code are in
docs/departures.md.
"""

from __future__ import annotations

from dataclasses import replace

from adamas.core.errors import UserError
from adamas.envs.config import AtariConfig
from adamas.nn.optim import OptimizerConfig
from adamas.nn.unet import FrameNetworkConfig
from adamas.rl.actor_critic import ActorCriticConfig
from adamas.rl.part_training import ComponentTraining, PolicyTraining
from adamas.rl.reinforce import ReinforceConfig
from adamas.training.config import CollectionConfig, Config, EvaluationConfig
from adamas.world_models.diamond.published_numbers import ATARI_SAMPLER, atari_denoiser
from adamas.world_models.diamond.reward_end import RewardEndConfig
from adamas.world_models.diamond.training import DiamondTraining
from adamas.world_models.diamond.world import DiamondConfig

GAME = AtariConfig(
    game="Breakout",
    size=64,
    width=None,
    frame_skip=4,
    noop_max=30,
    sticky_actions=0.0,
    max_episode_steps=None,
    life_loss_ends=True,
)

NETWORK = FrameNetworkConfig(
    context_length=4,
    cond_channels=256,
    depths=(2, 2, 2, 2),
    channels=(64, 64, 64, 64),
    attn_depths=(False, False, False, False),
    noise_cond=False,
    context="frames",
)

DENOISER = atari_denoiser(NETWORK)

REWARD_END = RewardEndConfig(
    lstm_dim=512,
    cond_channels=128,
    depths=(2, 2, 2, 2),
    channels=(32, 32, 32, 32),
    attn_depths=(False, False, False, False),
    segment_length=None,
)

SAMPLER = ATARI_SAMPLER

ACTOR_CRITIC = ActorCriticConfig(lstm_dim=512, channels=(32, 32, 64, 64), down=(True, True, True, True))

COLLECTION = CollectionConfig(
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
)

OPTIMIZER = OptimizerConfig(lr=1e-4, weight_decay=1e-2, eps=1e-8, warmup_updates=100, max_grad_norm=1.0)

DENOISER_TRAINING = ComponentTraining(
    optimizer=OPTIMIZER,
    batch_size=32,
    start_epoch=1,
    first_epoch_updates=10_000,
    updates_per_epoch=400,
    average_decay=0.0,
)

REWARD_END_TRAINING = replace(DENOISER_TRAINING, optimizer=replace(OPTIMIZER, max_grad_norm=100.0))

LEARNER = ReinforceConfig(gamma=0.985, lambda_=0.95, entropy_weight=0.001, value_weight=1.0)

POLICY_TRAINING = PolicyTraining(
    optimizer=replace(OPTIMIZER, weight_decay=0.0, max_grad_norm=100.0),
    learner=LEARNER,
    num_dreams=32,
    steps_per_update=15,
    start_epoch=1,
    first_epoch_updates=5_000,
    updates_per_epoch=400,
)

EVALUATION = EvaluationConfig(
    every_epochs=10,
    episodes=4,
    final_episodes=100,
    num_envs=4,  # the published code evaluates in a single environment
    temperature=1.0,
    heldout_steps=500,
    heldout_windows=64,
)


def parts(config: Config) -> tuple[DiamondConfig, DiamondTraining]:
    """The world model and the training of a configuration of the paper's kind.

    Raises:
        UserError: it is of another kind.
    """
    model, training = config.world_model, config.training
    if not isinstance(model, DiamondConfig) or not isinstance(training, DiamondTraining):
        raise UserError(f"`world_model.kind` is {model.kind}; this needs the kind diamond")
    return model, training
