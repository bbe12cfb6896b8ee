"""Base classes of all denoisers: the network, training on the model's own frames, and sampling of the next frame."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor, nn

from adamas.core.actions import ActionSpec
from adamas.core.checks import check_range
from adamas.core.errors import UserError
from adamas.core.runtime import fixed_shapes
from adamas.core.types import Batch, to_model_range
from adamas.diffusion.samplers import SamplerConfig
from adamas.nn.unet import FrameNetwork, FrameNetworkConfig


@dataclass(frozen=True, kw_only=True)
class FrameDiffusionConfig:
    """What all denoisers have in common: the network and its training targets.

    Raises:
        UserError: a value is out of range.
    """

    diffusion: str
    """Kind of diffusion model."""
    network: FrameNetworkConfig = field(default_factory=FrameNetworkConfig)
    sigma_offset: float = 0.3
    """Standard deviation of the offset noise, which is the same for all pixels of a channel. 0 adds none."""
    num_autoregressive_steps: int = 1
    """Number of targets in a segment after the first one. Each is conditioned on the model's own estimate of the one
    before. 0 trains on real past frames only."""
    quantise: bool = True
    """Whether every denoised estimate is rounded down to one of 256 levels, as in the published models."""
    final_frames: bool = True
    """Whether the last frame of every episode is a target of training. The published code leaves it out; where an end
    shows in that frame alone, its dreams hardly ever end."""

    def __post_init__(self) -> None:
        """Check the values."""
        check_range("sigma_offset", self.sigma_offset, least=0)
        check_range("num_autoregressive_steps", self.num_autoregressive_steps, least=0)

    @property
    def segment_length(self) -> int:
        """Frames per training segment: L context frames, one target and the autoregressive targets."""
        return self.network.context_length + 1 + self.num_autoregressive_steps

    def check(self, sampler: SamplerConfig) -> None:
        """Raise UserError if the sampler adds noise to past frames but the network is not conditioned on it."""
        if sampler.s_cond > 0 and not self.network.noise_cond:
            raise UserError(
                f"`sampler.s_cond` is {sampler.s_cond}, but the network is not conditioned on noise in past frames; "
                "use 0, or train with `network.noise_cond` and `noise_previous_obs`"
            )


class FrameDiffusion(nn.Module, ABC):
    """A model that draws a frame from noise, given past frames. Subclasses define the noise, loss and sampling.

    Args:
        config: network, noise and training targets.
        img_channels: C of a frame.
        action_spec: describes the actions; None for a model without actions, whose ``prev_action`` is always None.
        extra_frames: number of further frames that the model sees, after the L past frames in ``prev_obs``.
    """

    def __init__(
        self,
        config: FrameDiffusionConfig,
        img_channels: int,
        action_spec: ActionSpec | None,
        extra_frames: int = 0,
    ) -> None:
        super().__init__()
        self.config = config
        self.inner_model = FrameNetwork(config.network, img_channels, action_spec, extra_frames)

    @abstractmethod
    def random_loss(
        self, obs: Tensor, mask: Tensor, prev_obs: Tensor, prev_action: Tensor | None, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """Loss of one target frame at random noise levels, and the model's estimate of that frame.

        Args:
            obs: (B, C, H, W) in [-1, 1], the target.
            mask: (B,) bool, True for the samples that count.
            prev_obs: (B, L, C, H, W) in [-1, 1], oldest first.
            prev_action: (B, L) int64, or (B, L, D) float32.
            generator: source of noise and noise levels.

        Returns:
            The loss, a scalar, and the estimated clean frames (B, C, H, W), without gradients.
        """

    @abstractmethod
    def path(
        self,
        initial_noise: Tensor,
        prev_obs: Tensor,
        prev_action: Tensor | None,
        sampler: SamplerConfig,
        generator: Generator | None = None,
    ) -> list[Tensor]:
        """The N + 1 points of the path from noise to the next frame, (B, C, H, W); arguments as in :func:`sample`."""

    def unrolled_loss(
        self,
        obs: Tensor,
        mask: Tensor,
        action: Tensor | None,
        generator: Generator,
        extra: Tensor | None = None,
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Mean loss of all frames after the first L.

        The model's own estimate replaces each target in the context of the next target, so that the model learns to
        continue from its own frames (published code; the paper's algorithm 1 has one target).

        Args:
            obs: (B, T + 1, C, H, W) in [-1, 1].
            mask: (B, T + 1) bool, True for real frames, False for padding.
            action: (B, T) int64, or (B, T, D) float32.
            generator: source of noise and noise levels.
            extra: (B, T + 1, C, H, W) in [-1, 1], the extra frame that the model sees when it draws each frame.
        """
        length = self.config.network.context_length
        frames = list(obs.unbind(1))
        losses = []
        for t in range(length, len(frames)):
            known = [] if extra is None else [extra[:, t]]
            context = torch.stack(frames[t - length : t] + known, dim=1)  # (B, L or L + 1, C, H, W)
            past_action = None if action is None else action[:, t - length : t]  # (B, L)
            loss, frames[t] = self.random_loss(obs[:, t], mask[:, t], context, past_action, generator)
            losses.append(loss)
        total = torch.stack(losses).mean()
        return total, {"loss": total.detach()}


class Denoiser(FrameDiffusion):
    """A model that draws the next frame, given L frames and actions."""

    def loss(self, batch: Batch, generator: Generator) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Denoising loss over all targets of segments of ``config.segment_length`` frames."""
        obs = to_model_range(batch.obs, batch.mask)  # (B, T + 1, C, H, W)
        return self.unrolled_loss(obs, batch.mask, batch.action, generator)


def masked_error(output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error of (B, C, H, W) over the samples in ``mask`` (B,), a scalar; 0 if the mask is empty."""
    error = (output - target).square().mean(dim=(1, 2, 3))  # (B,)
    return (error * mask).sum() / mask.sum().clamp(min=1)


def offset_noise(obs: Tensor, sigma_offset: float, generator: Generator | None) -> tuple[Tensor, Tensor]:
    """Draw noise for (B, C, H, W) frames, with n ~ N(0, I): sigma_offset n_channel (B, C, 1, 1), and n_pixel."""
    channel_noise = torch.randn((*obs.shape[:2], 1, 1), generator=generator, device=obs.device)
    pixel_noise = torch.randn(obs.shape, generator=generator, device=obs.device)
    return sigma_offset * channel_noise, pixel_noise


def to_levels(x: Tensor) -> Tensor:
    """Quantise frames to 256 levels in [-1, 1] by truncation, as the published models were trained and sampled."""
    return x.clamp(-1, 1).add(1).div(2).mul(255).floor().div(255).mul(2).sub(1)


@torch.no_grad()
def sample(
    denoiser: Denoiser,
    prev_obs: Tensor,
    prev_action: Tensor,
    sampler: SamplerConfig,
    initial_noise: Tensor | None = None,
    generator: Generator | None = None,
) -> Tensor:
    """Draw the next frame.

    Args:
        denoiser: the model.
        prev_obs: (B, L, C, H, W) in [-1, 1], oldest first.
        prev_action: (B, L) int64, or (B, L, D) float32.
        sampler: steps, method and noise levels.
        initial_noise: (B, C, H, W) from N(0, I); drawn from ``generator`` when not given.
        generator: source of the noise; PyTorch's global one when not given.

    Returns:
        (B, C, H, W) in [-1, 1].
    """
    return draw_path(denoiser, prev_obs, prev_action, sampler, initial_noise, generator)[-1]


@torch.no_grad()
def draw_path(
    denoiser: FrameDiffusion,
    prev_obs: Tensor,
    prev_action: Tensor | None,
    sampler: SamplerConfig,
    initial_noise: Tensor | None = None,
    generator: Generator | None = None,
) -> list[Tensor]:
    """Draw the next frame as :func:`sample` does, but return all N + 1 points of the path from the noise."""
    if initial_noise is None:
        shape = prev_obs[:, 0].shape
        initial_noise = torch.randn(shape, generator=generator, device=prev_obs.device)
    with fixed_shapes():
        return denoiser.path(initial_noise, prev_obs, prev_action, sampler, generator)
