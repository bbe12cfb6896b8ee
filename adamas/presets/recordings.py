"""Presets that train a world model on recordings, without a policy."""

from __future__ import annotations

from dataclasses import replace

from adamas.core.runtime import RuntimeConfig
from adamas.diffusion.edm import EdmConfig
from adamas.diffusion.samplers import SamplerConfig
from adamas.diffusion.upsampler import UpsamplerConfig
from adamas.interop.two_stage import STAND_IN, published_stages
from adamas.nn.unet import FrameNetworkConfig
from adamas.training.config import ComponentTraining, Config, EvaluationConfig, PolicyTraining
from adamas.training.optim import OptimizerConfig
from adamas.world_models.diamond import DiamondConfig
from adamas.world_models.reward_end import RewardEndConfig


def static() -> Config:
    """World model of any recordings with small frames (about 64x64), on a CPU.

    It predicts frames, and rewards and ends if the recordings have any.
    """
    return Config(
        data="recordings",
        world_model=DiamondConfig(
            denoiser=EdmConfig(
                network=FrameNetworkConfig(
                    context_length=4,
                    cond_channels=128,
                    depths=(1, 1, 1),
                    channels=(32, 64, 64),
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
        ),
        actor_critic=STAND_IN,
        denoiser=ComponentTraining(
            optimizer=OptimizerConfig(lr=1e-3, weight_decay=1e-2),
            batch_size=32,
            first_epoch_updates=200,
            updates_per_epoch=200,
            average_decay=0.998,
        ),
        reward_end=ComponentTraining(
            optimizer=OptimizerConfig(lr=5e-4, weight_decay=1e-2, max_grad_norm=100.0),
            batch_size=8,
            first_epoch_updates=30,
            updates_per_epoch=30,
        ),
        num_shards=2,
        final_epochs=10,
        evaluation=EvaluationConfig(every_epochs=2, heldout_windows=32),
        runtime=RuntimeConfig(device="cpu", threads=1),
    )


def static_small() -> Config:
    """World model of any recordings with very small frames (about 32x32), in minutes on two CPU cores.

    It is meant for a first look at your own data. The denoiser learns the change from the newest frame. Before training
    it therefore repeats that frame, and parts of a scene that stand still are right from the start. Frames are drawn in
    one step, as in :func:`vizdoom`.
    """
    config = static()
    return replace(
        config,
        data="small-recordings",
        world_model=DiamondConfig(
            denoiser=EdmConfig(
                network=FrameNetworkConfig(
                    context_length=4,
                    cond_channels=64,
                    depths=(1, 1, 1),
                    channels=(16, 32, 32),
                    attn_depths=(False, False, False),
                ),
                sigma_offset=0.1,
                log_sigma_mean=0.4,
                sigma_change=0.2,
            ),
            reward_end=RewardEndConfig(
                lstm_dim=64,
                cond_channels=32,
                depths=(1, 1, 1),
                channels=(16, 16, 16),
                attn_depths=(False, False, False),
            ),
            sampler=SamplerConfig(num_steps=1, scale_initial_noise=True),
        ),
        denoiser=ComponentTraining(
            optimizer=OptimizerConfig(lr=2e-3, weight_decay=1e-2),
            batch_size=16,
            first_epoch_updates=240,
            updates_per_epoch=240,
            average_decay=0.99,
        ),
        reward_end=ComponentTraining(
            optimizer=OptimizerConfig(lr=5e-4, weight_decay=1e-2, max_grad_norm=100.0),
            batch_size=8,
            first_epoch_updates=30,
            updates_per_epoch=30,
        ),
        final_epochs=5,
        evaluation=EvaluationConfig(every_epochs=5, heldout_windows=32),
    )


def _maze_world_model() -> DiamondConfig:
    """Two stages, 24x32 and 120x160, that each draw a frame in one step."""
    one_step = SamplerConfig(num_steps=1, scale_initial_noise=True)
    return DiamondConfig(
        denoiser=EdmConfig(
            network=FrameNetworkConfig(
                context_length=4,
                cond_channels=128,
                depths=(1, 1, 1),
                channels=(32, 64, 64),
                attn_depths=(False,) * 3,
            ),
            sigma_offset=0.1,
            log_sigma_mean=0.4,
            sigma_change=0.2,
        ),
        reward_end=None,
        sampler=one_step,
        upsampler=UpsamplerConfig(
            network=FrameNetworkConfig(
                context_length=1,
                cond_channels=64,
                depths=(1, 1, 1, 1),
                channels=(16, 24, 32, 64),
                attn_depths=(False,) * 4,
            ),
            log_sigma_mean=1.2,
            log_sigma_std=1.0,
            sigma_change=0.075,
            sampler=one_step,
        ),
    )


def vizdoom() -> Config:
    """World model of a ViZDoom maze in two stages, 24x32 and 120x160, in less than an hour on two CPU cores.

    Both networks learn the change from the frame that they start from; ``sigma_change`` is its measured standard
    deviation. Past frames carry no noise, and training noise levels are high, near the level at which the single
    sampling step starts. At this size, both train faster than the published settings. Sampling starts from EDM's
    initial noise, since dreams that start from DIAMOND's went dark (docs/scenes.md).
    """
    return Config(
        data="doom",
        world_model=_maze_world_model(),
        actor_critic=STAND_IN,
        denoiser=ComponentTraining(
            optimizer=OptimizerConfig(lr=2e-3, weight_decay=1e-2),
            batch_size=32,
            first_epoch_updates=320,
            updates_per_epoch=320,
            average_decay=0.998,
        ),
        upsampler=ComponentTraining(
            optimizer=OptimizerConfig(lr=1e-3, weight_decay=1e-2),
            batch_size=8,
            first_epoch_updates=30,
            updates_per_epoch=30,
            average_decay=0.998,
        ),
        policy=PolicyTraining(horizon=9),
        num_shards=2,
        final_epochs=8,
        evaluation=EvaluationConfig(every_epochs=4, heldout_windows=16),
        runtime=RuntimeConfig(device="cpu", threads=1),
    )


def driving() -> Config:
    """World model of a race track in two stages, 24x24 and 96x96, with rewards, in half an hour on two CPU cores.

    examples/follow_road.py makes the recordings. Frames are learnt as in :func:`vizdoom`, rewards as in :func:`static`.
    """
    config, labels = vizdoom(), static()
    denoiser, upsampler = config.world_model.denoiser, config.world_model.upsampler
    assert isinstance(denoiser, EdmConfig) and upsampler is not None
    return replace(
        config,
        data="cars",
        world_model=replace(
            config.world_model,
            denoiser=replace(denoiser, sigma_change=0.12),
            # Sequences of 19 frames as in static, although dreams are truncated after 13 steps.
            reward_end=replace(labels.world_model.reward_end or RewardEndConfig(), segment_length=19),
            upsampler=replace(upsampler, factor=4, sigma_change=0.09),
        ),
        upsampler=replace(config.upsampler, updates_per_epoch=40, first_epoch_updates=40),
        reward_end=labels.reward_end,
        policy=PolicyTraining(horizon=13),
        final_epochs=9,
    )


def csgo() -> Config:
    """Published world model of Counter-Strike: Global Offensive with 381 M parameters, trained as published, on GPUs.

    It learns from the public recordings (Pearce and Zhu 2021), in frames of 30x56 and 150x280.

    The published code accumulates the gradients of eight micro-batches (16 segments each for the denoiser, 4 for the
    upsampler) and clips their sum at norm 10. Here gradients are averaged over the shards of a batch. So that
    updates are equal, the mean is clipped at 10 / 8, and AdamW's eps is 1e-8 / 8.
    """
    micro_batches = 8
    optimizer = OptimizerConfig(
        lr=1e-4, weight_decay=1e-2, eps=1e-8 / micro_batches, max_grad_norm=10.0 / micro_batches
    )
    return Config(
        data="csgo",
        world_model=published_stages(
            FrameNetworkConfig(
                context_length=4,
                cond_channels=2048,
                depths=(2, 2, 2, 2),
                channels=(128, 256, 512, 1024),
                attn_depths=(False, False, True, True),
                noise_cond=True,
            ),
            FrameNetworkConfig(
                context_length=1,
                cond_channels=2048,
                depths=(2, 2, 2, 2),
                channels=(64, 64, 128, 256),
                attn_depths=(False, False, False, True),
                noise_cond=True,
            ),
        ),
        actor_critic=STAND_IN,
        denoiser=ComponentTraining(
            optimizer=optimizer, batch_size=16 * micro_batches, first_epoch_updates=400, updates_per_epoch=400
        ),
        upsampler=ComponentTraining(
            optimizer=optimizer, batch_size=4 * micro_batches, first_epoch_updates=400, updates_per_epoch=400
        ),
        num_shards=micro_batches,
        final_epochs=600,
        evaluation=EvaluationConfig(every_epochs=20),
    )
