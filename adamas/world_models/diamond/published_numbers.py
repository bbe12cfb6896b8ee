"""The noise, training targets and samplers of DIAMOND's published models, which their files do not contain."""

from __future__ import annotations

from dataclasses import replace

from adamas.diffusion.edm import EdmConfig
from adamas.diffusion.samplers import SamplerConfig
from adamas.diffusion.upsampler import UpsamplerConfig
from adamas.nn.unet import FrameNetworkConfig

ATARI_SAMPLER = SamplerConfig(
    num_steps=3,
    method="euler",
    sigma_min=2e-3,
    sigma_max=5.0,
    rho=7.0,
    s_churn=0.0,
    s_tmin=0.0,
    s_tmax=1e6,
    s_noise=1.0,
    scale_initial_noise=False,
    s_cond=0.0,
)
"""The sampler of the world models of Atari games."""

CSGO_SAMPLER = replace(ATARI_SAMPLER, s_cond=0.005)
"""The sampler of the small frames of CS:GO."""


def atari_denoiser(network: FrameNetworkConfig) -> EdmConfig:
    """The denoiser of an Atari game, with this network."""
    return _edm(
        network,
        sigma_offset=0.3,
        log_sigma_mean=-0.4,
        num_autoregressive_steps=1,
        noise_previous_obs=False,
    )


def csgo_denoiser(network: FrameNetworkConfig) -> EdmConfig:
    """The first stage for CS:GO with this network. It draws small frames."""
    return _edm(
        network,
        sigma_offset=0.1,
        log_sigma_mean=-1.2,
        num_autoregressive_steps=4,
        noise_previous_obs=True,
    )


def csgo_upsampler(network: FrameNetworkConfig) -> UpsamplerConfig:
    """The second stage for CS:GO with this network. It makes frames five times as high and wide."""
    frame = _edm(
        network,
        sigma_offset=0.1,
        log_sigma_mean=-1.2,
        num_autoregressive_steps=1,
        noise_previous_obs=False,
    )
    sampler = replace(
        ATARI_SAMPLER, num_steps=10, sigma_min=1.0, s_churn=10.0, s_tmin=1.0, s_tmax=5.0, s_noise=0.9
    )
    # An upsampler is a denoiser with two fields more.
    return UpsamplerConfig(**vars(frame), factor=5, sampler=sampler)


def _edm(
    network: FrameNetworkConfig,
    *,
    sigma_offset: float,
    log_sigma_mean: float,
    num_autoregressive_steps: int,
    noise_previous_obs: bool,
) -> EdmConfig:
    """A denoiser with the noise and the targets that all published models share, and its own of the others.

    The arguments are fields of :class:`~adamas.diffusion.edm.EdmConfig`.
    """
    return EdmConfig(
        network=network,
        sigma_offset=sigma_offset,
        sigma_data=0.5,
        sigma_change=None,
        log_sigma_mean=log_sigma_mean,
        log_sigma_std=1.2,
        sigma_min=2e-3,
        sigma_max=20.0,
        num_autoregressive_steps=num_autoregressive_steps,
        quantise=True,
        final_frames=True,  # differs from the published code: see docs/departures.md
        noise_previous_obs=noise_previous_obs,
    )
