"""The EDM denoiser: preconditioning, noise distribution and loss (paper section 3.1; Karras et al. 2022, table 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Generator, Tensor

from adamas.core.checks import check_range
from adamas.core.errors import UserError
from adamas.diffusion.denoiser import (
    Denoiser,
    FrameDiffusion,
    FrameDiffusionConfig,
    masked_error,
    offset_noise,
    to_levels,
)
from adamas.diffusion.samplers import SamplerConfig, sample_path


@dataclass(frozen=True, kw_only=True)
class EdmConfig(FrameDiffusionConfig):
    """The EDM denoiser (the paper's; Karras et al. 2022): network, noise and training targets."""

    diffusion: Literal["edm"] = "edm"
    """Kind of diffusion model. edm: the one of the paper (Karras et al. 2022). ddpm: a network that predicts the
    noise (Ho et al. 2020), as a baseline."""
    sigma_data: float = 0.5
    """Standard deviation of the pixels of the data, on the scale [-1, 1]."""
    sigma_change: float | None = None
    """Standard deviation of the change from the newest frame that the network sees to the next one. If it is given,
    the network denoises that change instead of the frame, so that an untrained model repeats the newest frame. It is
    not in the paper."""
    log_sigma_mean: float = -0.4
    """Mean of the natural logarithm of the noise levels in training. Larger values train on more noise."""
    log_sigma_std: float = 1.2
    """Standard deviation of the natural logarithm of the noise levels in training. 0 trains on a single
    level."""
    sigma_min: float = 2e-3
    """Smallest noise level in training, above 0; smaller ones are clipped to it."""
    sigma_max: float = 20.0
    """Largest noise level in training, at least sigma_min; larger ones are clipped to it."""
    noise_previous_obs: bool = False
    """Whether past frames carry noise in training, of a level that the network receives (network.noise_cond). The
    network learns to continue from imperfect frames, as in the published two-stage model."""

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        check_range("sigma_min", self.sigma_min, above=0)
        check_range("sigma_max", self.sigma_max, least=self.sigma_min)
        check_range("sigma_data", self.sigma_data, above=0)
        check_range("sigma_change", self.sigma_change, above=0)
        if self.noise_previous_obs and not self.network.noise_cond:
            raise UserError(
                "`noise_previous_obs` needs a network conditioned on that noise; set `network.noise_cond`"
            )


class Conditioners(NamedTuple):
    """Preconditioning at given noise levels: c_in, c_out, c_skip (..., 1, 1, 1); c_noise (...)."""

    c_in: Tensor
    c_out: Tensor
    c_skip: Tensor
    c_noise: Tensor


class Edm(FrameDiffusion):
    """The estimator of clean frames D(x; sigma, y) = c_skip x + c_out F(c_in x, c_noise, y) (paper equation 6).

    With ``sigma_change``, x and D are differences from the newest frame in y, and sigma_change replaces sigma_data.

    If the network has ``noise_cond``, the L past frames in ``prev_obs`` may carry noise themselves, of standard
    deviation ``sigma_cond`` (B,). None means that they are clean.
    """

    config: EdmConfig

    def conditioners(self, sigma: Tensor) -> Conditioners:
        """Preconditioning for noise levels ``sigma``, (B,) or (). Paper equations 9 to 12.

        s = sqrt(sigma^2 + sigma_offset^2);  c_in = 1 / sqrt(s^2 + sigma_data^2);  c_noise = ln(s) / 4;
        c_skip = sigma_data^2 / (s^2 + sigma_data^2);  c_out = s sqrt(c_skip).
        """
        sigma_data = self.config.sigma_change or self.config.sigma_data
        variance = sigma**2 + self.config.sigma_offset**2
        total = variance + sigma_data**2
        c_skip = sigma_data**2 / total
        c_out = (variance * c_skip).sqrt()
        c_in, c_out, c_skip = (c[..., None, None, None] for c in (total.rsqrt(), c_out, c_skip))
        return Conditioners(c_in, c_out, c_skip, c_noise=variance.log() / 8)

    def origin(self, prev_obs: Tensor) -> Tensor | float:
        """The zero point of x and D: with ``sigma_change`` the newest frame of ``prev_obs``, (B, C, H, W), else 0."""
        return 0.0 if self.config.sigma_change is None else prev_obs[:, -1]

    def network_output(
        self,
        noisy: Tensor,
        cond: Conditioners,
        prev_obs: Tensor,
        prev_action: Tensor | None,
        sigma_cond: Tensor | None = None,
    ) -> Tensor:
        """Compute F(c_in x, c_noise, y), (B, C, H, W); ``prev_obs`` is (B, L, C, H, W) in [-1, 1].

        For noisy past frames, the network is conditioned on c_noise_cond = ln(sigma_cond) / 4; for clean ones, on 0.
        """
        c_noise = cond.c_noise.expand(len(noisy))
        c_noise_cond = None if sigma_cond is None else sigma_cond.log() / 4
        scaled = prev_obs / self.config.sigma_data
        return self.inner_model(noisy * cond.c_in, c_noise, scaled, prev_action, c_noise_cond)

    def estimate(
        self, noisy: Tensor, network_output: Tensor, cond: Conditioners, origin: Tensor | float = 0.0
    ) -> Tensor:
        """Turn a network output into the clean frame, (B, C, H, W), quantised to 256 levels if the config says so."""
        denoised = origin + cond.c_skip * noisy + cond.c_out * network_output
        return to_levels(denoised) if self.config.quantise else denoised

    def denoise(
        self,
        noisy: Tensor,
        sigma: Tensor,
        prev_obs: Tensor,
        prev_action: Tensor | None,
        sigma_cond: Tensor | None = None,
    ) -> Tensor:
        """Estimate the clean frame.

        Args:
            noisy: (B, C, H, W).
            sigma: (B,) or (), the noise level.
            prev_obs: (B, L, C, H, W) in [-1, 1], oldest first.
            prev_action: (B, L) int64, or (B, L, D) float32.
            sigma_cond: (B,), the noise level of ``prev_obs``; None if it is clean.

        Returns:
            (B, C, H, W) in [-1, 1].
        """
        cond, origin = self.conditioners(sigma), self.origin(prev_obs)
        noisy = noisy - origin
        output = self.network_output(noisy, cond, prev_obs, prev_action, sigma_cond)
        return self.estimate(noisy, output, cond, origin)

    def add_noise(self, obs: Tensor, sigma: Tensor, generator: Generator) -> Tensor:
        """Compute o + sigma_offset n_channel + sigma n_pixel, n ~ N(0, I); obs is (B, C, H, W), sigma (B,)."""
        return _noisy(obs, sigma, self.config.sigma_offset, generator)

    def noise_past(
        self, prev_obs: Tensor, sigma_cond: Tensor, sigma_offset: float, generator: Generator | None
    ) -> Tensor:
        """Add noise of levels ``sigma_cond`` (B,) to the L past frames of ``prev_obs``; extra frames stay clean."""
        past, extra = prev_obs.tensor_split([self.config.network.context_length], dim=1)
        noisy = _noisy(past.flatten(1, 2), sigma_cond, sigma_offset, generator)  # (B, L C, H, W)
        return torch.cat((noisy.reshape(past.shape), extra), dim=1)

    def draw_sigma(self, batch_size: int, generator: Generator) -> Tensor:
        """Draw (B,) training noise levels: ln sigma ~ N(mean, std^2) (paper equation 13), clipped."""
        n = torch.randn(batch_size, generator=generator, device=generator.device)
        sigma = (n * self.config.log_sigma_std + self.config.log_sigma_mean).exp()
        return sigma.clamp(self.config.sigma_min, self.config.sigma_max)

    def target_loss(
        self,
        noisy: Tensor,
        sigma: Tensor,
        obs: Tensor,
        mask: Tensor,
        prev_obs: Tensor,
        prev_action: Tensor | None,
        sigma_cond: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Loss of one target frame (paper equation 7), and the model's estimate of that frame, without gradients.

        The network's target is (o - c_skip x) / c_out. The mean squared error is over the samples in ``mask``.
        """
        cond, origin = self.conditioners(sigma), self.origin(prev_obs)
        noisy, obs = noisy - origin, obs - origin
        output = self.network_output(noisy, cond, prev_obs, prev_action, sigma_cond)
        target = (obs - cond.c_skip * noisy) / cond.c_out
        return masked_error(output, target, mask), self.estimate(noisy, output, cond, origin).detach()

    def random_loss(
        self, obs: Tensor, mask: Tensor, prev_obs: Tensor, prev_action: Tensor | None, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """:meth:`target_loss` at noise levels drawn by :meth:`draw_sigma`.

        With ``noise_previous_obs``, past frames get the same kind of noise, at a second level drawn for each sample.
        """
        sigma = self.draw_sigma(len(obs), generator)
        noisy = self.add_noise(obs, sigma, generator)
        if not self.config.noise_previous_obs:
            return self.target_loss(noisy, sigma, obs, mask, prev_obs, prev_action)
        sigma_cond = self.draw_sigma(len(obs), generator)
        prev_obs = self.noise_past(prev_obs, sigma_cond, self.config.sigma_offset, generator)
        return self.target_loss(noisy, sigma, obs, mask, prev_obs, prev_action, sigma_cond)

    def path(
        self,
        initial_noise: Tensor,
        prev_obs: Tensor,
        prev_action: Tensor | None,
        sampler: SamplerConfig,
        generator: Generator | None = None,
    ) -> list[Tensor]:
        """Solve the probability-flow ODE from noise to frame with :func:`~adamas.diffusion.samplers.sample_path`.

        With ``s_cond``, past frames first get noise of that level, without offset noise. With ``sigma_change``, the
        initial noise is added to the newest frame: training noise is centred on a frame too, and an average over many
        pixels reveals the centre to the network.
        """
        self.config.check(sampler)
        centre = self.origin(prev_obs)
        sigma_cond = None
        if sampler.s_cond > 0:
            # The published code adds this noise again at each step, so its frames are noisier than sigma_cond says.
            sigma_cond = prev_obs.new_full((len(prev_obs),), sampler.s_cond)
            prev_obs = self.noise_past(prev_obs, sigma_cond, 0.0, generator)

        def denoise(x: Tensor, sigma: Tensor) -> Tensor:
            return self.denoise(x, sigma, prev_obs, prev_action, sigma_cond)

        return sample_path(denoise, initial_noise, sampler, generator, centre)


class EdmDenoiser(Edm, Denoiser):
    """The paper's denoiser."""


def _noisy(obs: Tensor, sigma: Tensor, sigma_offset: float, generator: Generator | None) -> Tensor:
    """Compute o + sigma_offset n_channel + sigma n_pixel; obs is (B, C, H, W), sigma (B,)."""
    channel_noise, pixel_noise = offset_noise(obs, sigma_offset, generator)
    return obs + channel_noise + sigma[:, None, None, None] * pixel_noise
