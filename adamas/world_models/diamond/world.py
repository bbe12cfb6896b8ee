"""DIAMOND's world model: a diffusion denoiser for the frames, and a recurrent model for rewards and ends.

It can have two stages, as in the published CS:GO model: the denoiser dreams small frames, and an upsampler draws the
full-resolution frames that people see.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, TypeAlias

import torch
from torch import Generator, Tensor

from adamas.core.actions import ActionSpec
from adamas.core.checks import check_range
from adamas.core.errors import UserError
from adamas.core.protocols import Component, DreamState, Loss
from adamas.core.runtime import device_of, fixed_shapes
from adamas.core.seeding import sample_categorical
from adamas.core.types import Batch, SegmentSpec, to_model_range, to_pixels
from adamas.diffusion.ddpm import NUM_TIMESTEPS, DdpmConfig, DdpmDenoiser
from adamas.diffusion.denoiser import Denoiser, draw_path
from adamas.diffusion.edm import EdmConfig, EdmDenoiser
from adamas.diffusion.samplers import SamplerConfig
from adamas.diffusion.upsampler import Upsampler, UpsamplerConfig
from adamas.rl.part_training import TrainingConfig
from adamas.world_models.base import Call, Details, Imagined, Published, WorldModel, WorldModelConfig
from adamas.world_models.diamond.published import HUB_GAMES, published, to_published
from adamas.world_models.diamond.reward_end import RewardEndConfig, RewardEndModel

DenoiserConfig: TypeAlias = EdmConfig | DdpmConfig
"""A denoiser: the dataclass of its kind."""

DENOISERS: Mapping[type, Callable[..., Denoiser]] = {EdmConfig: EdmDenoiser, DdpmConfig: DdpmDenoiser}
"""The denoiser that belongs to each configuration."""


@dataclass(frozen=True, kw_only=True)
class DiamondConfig(WorldModelConfig):
    """The parts of the world model, and the sampler that draws its frames."""

    kind: Literal["diamond"] = "diamond"
    """Kind of world model. diamond: a diffusion model draws the next frame, and a recurrent model says its reward and
    whether the episode ends."""
    shows_frames: ClassVar[bool] = True
    hub_games: ClassVar[Mapping[str, str]] = HUB_GAMES
    denoiser: DenoiserConfig = field(default_factory=EdmConfig)
    reward_end: RewardEndConfig | None = field(default_factory=RewardEndConfig)
    """The reward/end model. None: every reward is 0, and no dream ends by itself."""
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    upsampler: UpsamplerConfig | None = None
    """The second stage, which enlarges frames. None: frames are dreamt at their full size."""

    def __post_init__(self) -> None:
        if isinstance(self.denoiser, DdpmConfig):
            check_range("sampler.num_steps", self.sampler.num_steps, most=NUM_TIMESTEPS)
        self.denoiser.check(self.sampler)
        if self.upsampler is not None:
            self.upsampler.check(self.upsampler.sampler)
            past, length = self.upsampler.network.context_length, self.denoiser.network.context_length
            if past > length:
                raise UserError(
                    f"`upsampler.network.context_length` is {past}, but dreams start from {length} frames; use "
                    f"{length} or less"
                )

    def build(self, obs_shape: tuple[int, int, int], action_spec: ActionSpec) -> Diamond:
        """Build the world model with random weights."""
        return Diamond(self, obs_shape, action_spec)

    def feature_shape(self, obs_shape: tuple[int, int, int]) -> tuple[int, ...]:
        """Policies see frames, (C, H, W)."""
        return obs_shape

    @property
    def num_blocks(self) -> int:
        """Number of residual blocks."""
        parts = (self.denoiser.network, self.reward_end, self.upsampler and self.upsampler.network)
        return sum(depth for part in parts if part for depth in part.depths)

    @property
    def summary(self) -> str:
        """What the world model is, with a link to the paper."""
        judge = "" if self.reward_end is None else ", and a network tells reward and end"
        return (
            f"In the world model a diffusion model draws the next frame{judge}; the method is DIAMOND's\n"
            "([Alonso, Jelley et al., 2024](https://arxiv.org/abs/2405.12399))."
        )

    @classmethod
    def from_published(cls, tensors: Mapping[str, Tensor]) -> Published | None:
        """The agent of a file of DIAMOND's published code, or its world model of CS:GO."""
        return published(tensors, cls)

    def to_published(self, agent: Published) -> Mapping[str, Tensor]:
        """The weights of an agent under the names of DIAMOND's published code."""
        return to_published(agent, self.denoiser)

    def check_training(self, training: TrainingConfig) -> None:
        """Raise UserError unless exactly the parts that exist are trained."""
        for name, part in (("reward_end", self.reward_end), ("upsampler", self.upsampler)):
            if (part is None) != (name not in training.components):
                raise UserError(
                    f"only one of `world_model.{name}` and `training.{name}` is None; set both to None, or neither"
                )
        check_range(
            "world_model.denoiser.network.context_length", self.denoiser.network.context_length, least=2
        )

    def without_labels(self) -> DiamondConfig:
        """The same without a reward/end model."""
        return replace(self, reward_end=None)

    def small_shape(self, obs_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """The shape (C, h, w) of the dreamt frames, given the shape (C, H, W) of the frames that people see.

        Raises:
            UserError: the upsampler's factor does not divide H and W.
        """
        factor = 1 if self.upsampler is None else self.upsampler.factor
        channels, height, width = obs_shape
        if height % factor or width % factor:
            raise UserError(
                f"`upsampler.factor` is {factor}, which does not divide frames of {height}x{width}; choose another "
                "size or factor"
            )
        return channels, height // factor, width // factor

    def check_frames(self, obs_shape: tuple[int, int, int]) -> None:
        """Raise UserError if frames of shape (C, H, W) are too small for the levels of the denoiser."""
        levels = len(self.denoiser.network.channels)
        smallest = 2 ** (levels - 1)
        _, height, width = self.small_shape(obs_shape)
        if min(height, width) < smallest:
            raise UserError(
                f"frames of {height}x{width} pixels are too small for {levels} levels of the denoiser; "
                f"use at least {smallest}, or fewer levels"
            )

    def sequence_length(self, horizon: int) -> int:
        """Number of frames in a training sequence of the reward/end model, for dreams of ``horizon`` steps."""
        configured = None if self.reward_end is None else self.reward_end.segment_length
        return configured or horizon + self.denoiser.network.context_length


class Diamond(WorldModel):
    """The world model of the paper. Policies see its frames.

    The state of B dreams holds ``obs`` (B, L, C, H, W) in [-1, 1], the last L frames, oldest first; ``action``
    (B, L - 1) int64 or (B, L - 1, D) float32, the actions between them; and ``hidden`` and ``cell`` (B, lstm_dim) of
    the reward/end model, if the model has it. With an upsampler, ``obs`` holds small frames (h, w), and ``full``
    (B, K, C, H, W) holds the last K full frames, where K is the context length of the upsampler.
    """

    def __init__(
        self, config: DiamondConfig, obs_shape: tuple[int, int, int], action_spec: ActionSpec
    ) -> None:
        super().__init__()
        self.config = config
        self.obs_shape = obs_shape
        self.action_spec = action_spec
        small_shape = config.small_shape(obs_shape)
        self.denoiser: Denoiser = DENOISERS[type(config.denoiser)](config.denoiser, obs_shape[0], action_spec)
        self.reward_end = (
            None if config.reward_end is None else RewardEndModel(config.reward_end, small_shape, action_spec)
        )
        self.upsampler = None if config.upsampler is None else Upsampler(config.upsampler, obs_shape[0])

    @property
    def context_length(self) -> int:
        """Number L of real frames that start a dream."""
        return self.config.denoiser.network.context_length

    @property
    def predicts_rewards(self) -> bool:
        """Whether there is a reward/end model."""
        return self.reward_end is not None

    @property
    def sampler(self) -> SamplerConfig:
        """How the frames of the first stage are drawn."""
        return self.config.sampler

    def with_sampler(self, sampler: SamplerConfig) -> Diamond:
        """Return a world model with the same weights (shared, not copied) and another sampler."""
        other = copy.copy(self)
        other.config = replace(self.config, sampler=sampler)
        return other

    def components(self, horizon: int) -> Mapping[str, Component]:
        """The trainable components by name, in the order of training: denoiser, reward/end model, upsampler.

        Args:
            horizon: steps after which a dream is cut off. Unless the configuration sets ``segment_length``, the
                reward/end model learns from sequences of a whole dream and its context frames.
        """
        denoiser = self.config.denoiser
        frames = SegmentSpec(denoiser.segment_length, final_frame=denoiser.final_frames)
        shrink = None if self.upsampler is None else self.upsampler.shrink
        loss = self._on_small_frames(self.denoiser.loss)
        parts = {"denoiser": Component(self.denoiser, loss, frames, shrink)}
        if self.reward_end is not None:
            sequence = SegmentSpec(self.config.sequence_length(horizon), past_end=True)
            loss = self._on_small_frames(self.reward_end.loss)
            parts["reward_end"] = Component(self.reward_end, loss, sequence, shrink)
        if self.upsampler is not None:
            upsampler = self.upsampler.config
            frames = SegmentSpec(upsampler.segment_length, final_frame=upsampler.final_frames)
            parts["upsampler"] = Component(self.upsampler, self.upsampler.loss, frames)
        return parts

    def _on_small_frames(self, loss: Loss) -> Loss:
        """``loss``, for batches of frames of either stage."""
        return loss if self.upsampler is None else self.upsampler.on_small_frames(loss, self.obs_shape[1:])

    @torch.no_grad()
    def start(self, context: Batch) -> tuple[DreamState, Tensor]:
        """Start dreams: burn in on L frames (``context.obs``, (B, L, C, H, W)) and the L - 1 actions between them."""
        state = {"action": context.action}
        pixels = context.obs
        if self.upsampler is not None:
            past = self.upsampler.config.network.context_length
            state["full"] = to_model_range(pixels[:, -past:], context.mask[:, -past:])
            pixels = self.upsampler.shrink(pixels)
        obs = state["obs"] = to_model_range(pixels, context.mask)
        if self.reward_end is not None:
            _, _, (hidden, cell) = self.reward_end(obs[:, :-1], context.action, obs[:, 1:])
            state |= {"hidden": hidden, "cell": cell}
        return state, context.obs

    def imagine(self, state: DreamState, action: Tensor, generator: Generator) -> tuple[DreamState, Imagined]:
        """Draw the next frame, and the reward sign and end of the transition."""
        state, imagined, _ = self.imagine_in_detail(state, action, generator)
        return state, imagined

    def decode(self, state: DreamState) -> Tensor:
        """The newest frames, (B, C, H, W) uint8."""
        return to_pixels(state["obs" if self.upsampler is None else "full"][:, -1])

    @torch.no_grad()
    def imagine_in_detail(
        self, state: DreamState, action: Tensor, generator: Generator
    ) -> tuple[DreamState, Imagined, Details]:
        """Do as :meth:`imagine`, and return the intermediate results too; with two stages, the path of the first."""
        past = state["obs"]  # (B, L, C, H, W), or (B, L, C, h, w)
        actions = torch.cat((state["action"], action[:, None]), dim=1)  # (B, L)
        path = draw_path(self.denoiser, past, actions, self.config.sampler, generator=generator)
        obs = path[-1]
        following = {"obs": _shift(past, obs), "action": actions[:, 1:]}
        logits_reward = logits_end = None
        reward = torch.zeros(len(obs), device=obs.device)
        terminated = torch.zeros(len(obs), dtype=torch.bool, device=obs.device)
        if self.reward_end is not None:
            lstm = (state["hidden"], state["cell"])
            with fixed_shapes():
                logits_reward, logits_end, lstm = self.reward_end(
                    past[:, -1:], action[:, None], obs[:, None], lstm
                )
            following |= {"hidden": lstm[0], "cell": lstm[1]}
            logits_reward, logits_end = logits_reward[:, 0], logits_end[:, 0]  # (B, 3), (B, 2)
            reward = sample_categorical(logits_reward, generator).float() - 1
            terminated = sample_categorical(logits_end, generator).bool()
        if self.upsampler is not None:
            full = state["full"]
            obs = self.upsampler.sample(full, obs, self.upsampler.config.sampler, generator=generator)
            following["full"] = _shift(full, obs)
        imagined = Imagined(to_pixels(obs), reward, terminated)
        return following, imagined, Details(path, logits_reward, logits_end)

    def example_calls(self, batch_size: int, generator: Generator) -> Mapping[str, Call]:
        """One call of each network, for the next frame of B dreams."""
        config, spec, device = self.config, self.action_spec, device_of(self)
        small, length = config.small_shape(self.obs_shape), self.context_length

        def rand(*shape: int) -> Tensor:
            return torch.randn((batch_size, *shape), generator=generator).to(device)

        action = torch.zeros((batch_size, length, *spec.shape), dtype=spec.dtype, device=device)
        denoised = (rand(*small), rand(), rand(length, *small), action)
        calls = {"denoiser": Call(self.denoiser.inner_model, denoised)}
        if self.reward_end is not None:
            dim = self.reward_end.config.lstm_dim
            judged = (rand(1, *small), action[:, :1], rand(1, *small), (rand(dim), rand(dim)))
            calls["reward_end"] = Call(self.reward_end, judged)
        if self.upsampler is not None:
            known = rand(self.upsampler.config.network.context_length + 1, *self.obs_shape)
            calls["upsampler"] = Call(
                self.upsampler.inner_model, (rand(*self.obs_shape), rand(), known, None)
            )
        return calls


def _shift(frames: Tensor, newest: Tensor) -> Tensor:
    """Drop the oldest of ``frames`` (B, K, C, H, W) and append ``newest`` (B, C, H, W)."""
    return torch.cat((frames[:, 1:], newest[:, None]), dim=1)
