"""The preset of the published world model of Counter-Strike: Global Offensive."""

from __future__ import annotations

from dataclasses import replace

from adamas.nn.unet import FrameNetworkConfig
from adamas.presets import paper
from adamas.rl.part_training import ComponentTraining
from adamas.training.config import Config
from adamas.world_models.diamond.published_numbers import CSGO_SAMPLER, csgo_denoiser, csgo_upsampler
from adamas.world_models.diamond.training import DiamondTraining
from adamas.world_models.diamond.world import DiamondConfig

DENOISER_NETWORK = FrameNetworkConfig(
    context_length=4,
    cond_channels=2048,
    depths=(2, 2, 2, 2),
    channels=(128, 256, 512, 1024),
    attn_depths=(False, False, True, True),
    noise_cond=True,
    context="frames",
)

UPSAMPLER_NETWORK = FrameNetworkConfig(
    context_length=1,
    cond_channels=2048,
    depths=(2, 2, 2, 2),
    channels=(64, 64, 128, 256),
    attn_depths=(False, False, False, True),
    noise_cond=True,
    context="frames",
)


def csgo() -> Config:
    """Published world model of Counter-Strike: Global Offensive with 381 M parameters, trained as published, on GPUs.

    It learns from the public recordings (Pearce and Zhu 2021), in frames of 30x56 and 150x280.

    The published code accumulates the gradients of eight micro-batches (16 segments each for the denoiser, 4 for the
    upsampler) and clips their sum at norm 10. Here gradients are averaged over the shards of a batch. So that
    updates are equal, the mean is clipped at 10 / 8, and AdamW's eps is 1e-8 / 8.
    """
    micro_batches = 8
    denoiser_training = ComponentTraining(
        optimizer=replace(
            paper.OPTIMIZER,
            lr=1e-4,
            weight_decay=1e-2,
            eps=1e-8 / micro_batches,
            max_grad_norm=10.0 / micro_batches,
        ),
        batch_size=16 * micro_batches,
        start_epoch=1,
        first_epoch_updates=400,
        updates_per_epoch=400,
        average_decay=0.0,
    )
    return Config(
        env=None,
        data="csgo",
        world_model=DiamondConfig(
            denoiser=csgo_denoiser(DENOISER_NETWORK),
            reward_end=None,
            sampler=CSGO_SAMPLER,
            upsampler=csgo_upsampler(UPSAMPLER_NETWORK),
        ),
        actor_critic=None,
        horizon=15,
        collection=None,
        training=DiamondTraining(
            denoiser=denoiser_training,
            reward_end=None,
            upsampler=replace(denoiser_training, batch_size=4 * micro_batches),
            actor_critic=None,
        ),
        imagination="on",
        num_shards=micro_batches,
        final_epochs=600,
        evaluation=replace(paper.EVALUATION, every_epochs=20),
    )
