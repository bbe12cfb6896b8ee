"""Presets that train a world model on recordings, without a policy."""

from __future__ import annotations

from dataclasses import replace

from adamas.core.runtime import RuntimeConfig
from adamas.diffusion.edm import EdmConfig
from adamas.diffusion.upsampler import UpsamplerConfig
from adamas.presets import paper
from adamas.rl.part_training import ComponentTraining
from adamas.training.config import Config
from adamas.world_models.diamond.training import DiamondTraining
from adamas.world_models.diamond.world import DiamondConfig

REWARD_END_TRAINING = ComponentTraining(
    optimizer=replace(paper.OPTIMIZER, lr=5e-4, max_grad_norm=100.0),
    batch_size=8,
    start_epoch=1,
    first_epoch_updates=30,
    updates_per_epoch=30,
    average_decay=0.0,
)


def static() -> Config:
    """World model of any recordings with small frames (about 64x64), on a CPU.

    It predicts frames, and rewards and ends if the recordings have any.
    """
    return Config(
        env=None,
        data="recordings",
        world_model=DiamondConfig(
            denoiser=replace(
                paper.DENOISER,
                network=replace(
                    paper.NETWORK,
                    context_length=4,
                    cond_channels=128,
                    depths=(1, 1, 1),
                    channels=(32, 64, 64),
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
            sampler=paper.SAMPLER,
            upsampler=None,
        ),
        actor_critic=None,
        horizon=15,
        collection=None,
        training=DiamondTraining(
            denoiser=ComponentTraining(
                optimizer=replace(paper.OPTIMIZER, lr=1e-3),
                batch_size=32,
                start_epoch=1,
                first_epoch_updates=200,
                updates_per_epoch=200,
                average_decay=0.998,
            ),
            reward_end=REWARD_END_TRAINING,
            upsampler=None,
            actor_critic=None,
        ),
        imagination="on",
        num_shards=2,
        final_epochs=10,
        evaluation=replace(paper.EVALUATION, every_epochs=2, heldout_windows=32),
        runtime=RuntimeConfig(device="cpu", threads=1),
    )


def _small_change_denoiser(
    cond_channels: int, channels: tuple[int, int, int], sigma_change: float
) -> EdmConfig:
    """A denoiser of the change from the newest frame, trained near the noise level at which single steps start."""
    return replace(
        paper.DENOISER,
        network=replace(
            paper.NETWORK,
            context_length=4,
            cond_channels=cond_channels,
            depths=(1, 1, 1),
            channels=channels,
            attn_depths=(False,) * 3,
        ),
        sigma_offset=0.1,
        log_sigma_mean=0.4,
        sigma_change=sigma_change,
    )


ONE_STEP = replace(paper.SAMPLER, num_steps=1, scale_initial_noise=True)


def static_small() -> Config:
    """World model of any recordings with very small frames (about 32x32), in minutes on two CPU cores.

    It is meant for a first look at your own data. The denoiser learns the change from the newest frame. Before training
    it therefore repeats that frame, and parts of a scene that stand still are right from the start. Frames are drawn in
    one step, as in :func:`vizdoom`.
    """
    config = static()
    _, training = paper.parts(config)
    return replace(
        config,
        data="small-recordings",
        world_model=DiamondConfig(
            denoiser=_small_change_denoiser(64, (16, 32, 32), sigma_change=0.2),
            reward_end=replace(
                paper.REWARD_END,
                lstm_dim=64,
                cond_channels=32,
                depths=(1, 1, 1),
                channels=(16, 16, 16),
                attn_depths=(False, False, False),
            ),
            sampler=ONE_STEP,
            upsampler=None,
        ),
        training=replace(
            training,
            denoiser=ComponentTraining(
                optimizer=replace(paper.OPTIMIZER, lr=2e-3),
                batch_size=16,
                start_epoch=1,
                first_epoch_updates=240,
                updates_per_epoch=240,
                average_decay=0.99,
            ),
        ),
        final_epochs=5,
        evaluation=replace(config.evaluation, every_epochs=5),
    )


def _maze_world_model() -> DiamondConfig:
    """Two stages, 24x32 and 120x160, that each draw a frame in one step."""
    return DiamondConfig(
        denoiser=_small_change_denoiser(128, (32, 64, 64), sigma_change=0.2),
        reward_end=None,
        sampler=ONE_STEP,
        upsampler=UpsamplerConfig(
            network=replace(
                paper.NETWORK,
                context_length=1,
                cond_channels=64,
                depths=(1, 1, 1, 1),
                channels=(16, 24, 32, 64),
                attn_depths=(False,) * 4,
            ),
            sigma_offset=0.1,
            sigma_data=0.5,
            sigma_change=0.075,
            log_sigma_mean=1.2,
            log_sigma_std=1.0,
            sigma_min=2e-3,
            sigma_max=20.0,
            num_autoregressive_steps=1,
            quantise=True,
            final_frames=True,
            noise_previous_obs=False,
            factor=5,
            sampler=ONE_STEP,
        ),
    )


def vizdoom() -> Config:
    """World model of a ViZDoom maze in two stages, 24x32 and 120x160, in less than an hour on two CPU cores.

    Both networks learn the change from the frame that they start from; ``sigma_change`` is its measured standard
    deviation. Past frames carry no noise, and training noise levels are high, near the level at which the single
    sampling step starts. At this size, both train faster than the published settings. The initial noise
    is scaled by the largest sigma, as in EDM; with DIAMOND's unscaled noise, dreams went dark (docs/scenes.md).
    """
    return Config(
        env=None,
        data="doom",
        world_model=_maze_world_model(),
        actor_critic=None,
        horizon=9,
        collection=None,
        training=DiamondTraining(
            denoiser=ComponentTraining(
                optimizer=replace(paper.OPTIMIZER, lr=2e-3),
                batch_size=32,
                start_epoch=1,
                first_epoch_updates=320,
                updates_per_epoch=320,
                average_decay=0.998,
            ),
            reward_end=None,
            upsampler=ComponentTraining(
                optimizer=replace(paper.OPTIMIZER, lr=1e-3),
                batch_size=8,
                start_epoch=1,
                first_epoch_updates=30,
                updates_per_epoch=30,
                average_decay=0.998,
            ),
            actor_critic=None,
        ),
        imagination="on",
        num_shards=2,
        final_epochs=8,
        evaluation=replace(paper.EVALUATION, every_epochs=4, heldout_windows=16),
        runtime=RuntimeConfig(device="cpu", threads=1),
    )


def driving() -> Config:
    """World model of a race track in two stages, 24x24 and 96x96, with rewards, in half an hour on two CPU cores.

    examples/follow_road.py makes the recordings. Frames are learnt as in :func:`vizdoom`, rewards as in :func:`static`.
    """
    config = vizdoom()
    (model, training), (labels, _) = paper.parts(config), paper.parts(static())
    upsampler = model.upsampler
    assert upsampler is not None and training.upsampler is not None and labels.reward_end is not None
    return replace(
        config,
        data="cars",
        world_model=replace(
            model,
            denoiser=_small_change_denoiser(128, (32, 64, 64), sigma_change=0.12),
            # Sequences of 19 frames as in static, although dreams are truncated after 13 steps.
            reward_end=replace(labels.reward_end, segment_length=19),
            upsampler=replace(upsampler, factor=4, sigma_change=0.09),
        ),
        horizon=13,
        training=replace(
            training,
            reward_end=REWARD_END_TRAINING,
            upsampler=replace(training.upsampler, first_epoch_updates=40, updates_per_epoch=40),
        ),
        final_epochs=9,
    )
