"""DIAMOND's world model: a diffusion denoiser for the frames, a recurrent model for reward and end."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.core.protocols import Component, DreamState, Prediction
from adamas.core.seeding import draw
from adamas.core.types import Batch, SegmentSpec, to_model_range, to_pixels
from adamas.diffusion.ddpm import NUM_TIMESTEPS, DdpmDenoiser
from adamas.diffusion.denoiser import Denoiser, DenoiserConfig, draw_path
from adamas.diffusion.edm import EdmDenoiser
from adamas.diffusion.samplers import SamplerConfig
from adamas.world_models.reward_end import RewardEndConfig, RewardEndModel

DENOISERS: Mapping[str, type[Denoiser]] = {"edm": EdmDenoiser, "ddpm": DdpmDenoiser}


@dataclass(frozen=True)
class DiamondConfig:
    """The world model: its two parts and how it draws a frame."""

    denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    reward_end: RewardEndConfig = field(default_factory=RewardEndConfig)
    sampler: SamplerConfig = field(default_factory=SamplerConfig)

    def __post_init__(self) -> None:
        if self.denoiser.diffusion == "ddpm" and self.sampler.num_steps > NUM_TIMESTEPS:
            raise UserError(
                f"sampler: ddpm draws a frame in at most {NUM_TIMESTEPS} steps, got num_steps {self.sampler.num_steps}"
            )
        self.denoiser.check(self.sampler)


class Thoughts(NamedTuple):
    """How B predictions came about: the N + 1 points on the way from noise to the frame, (B, C, H, W) each, in the
    model's range; logits (B, 3) of a reward of -1, 0 and 1, and (B, 2) of the game's going on and its end."""

    path: list[Tensor]
    logits_reward: Tensor
    logits_end: Tensor


class Diamond(nn.Module):
    """The world model of the paper, as a :class:`~adamas.core.protocols.WorldModel`.

    The state of B dreams holds ``obs`` (B, L, C, H, W) in [-1, 1], the last L frames, oldest first; ``action``
    (B, L - 1) int64 or (B, L - 1, K) float32, the actions between them; ``hidden`` and ``cell`` (B, lstm_dim) of the
    reward/end model.
    """

    def __init__(
        self, config: DiamondConfig, obs_shape: tuple[int, int, int], action_spec: ActionSpec
    ) -> None:
        super().__init__()
        self.config = config
        self.denoiser: Denoiser = DENOISERS[config.denoiser.diffusion](
            config.denoiser, obs_shape[0], action_spec
        )
        self.reward_end = RewardEndModel(config.reward_end, obs_shape, action_spec)

    @property
    def context_length(self) -> int:
        """Number L of real frames that start a dream."""
        return self.config.denoiser.network.context_length

    def with_sampler(self, sampler: SamplerConfig) -> Diamond:
        """The same world model, weights shared, that draws its frames another way."""
        other = copy.copy(self)
        other.config = replace(self.config, sampler=sampler)
        return other

    def components(self) -> Mapping[str, Component]:
        """The denoiser, then the reward/end model."""
        frames = SegmentSpec(self.config.denoiser.segment_length)
        sequence = SegmentSpec(self.config.reward_end.segment_length, past_end=True)
        return {
            "denoiser": Component(self.denoiser, self.denoiser.loss, frames),
            "reward_end": Component(self.reward_end, self.reward_end.loss, sequence),
        }

    @torch.no_grad()
    def initial_state(self, context: Batch) -> DreamState:
        """Burn in on L frames and the L - 1 actions between them; ``context.obs`` is (B, L, C, H, W)."""
        obs = to_model_range(context.obs, context.mask)
        _, _, (hidden, cell) = self.reward_end(obs[:, :-1], context.action, obs[:, 1:])
        return {"obs": obs, "action": context.action, "hidden": hidden, "cell": cell}

    def step(self, state: DreamState, action: Tensor, generator: Generator) -> tuple[DreamState, Prediction]:
        """Draw the next frame, then a reward sign and an end for the transition to it; action (B,) int64
        or (B, K) float32."""
        state, prediction, _ = self.imagine(state, action, generator)
        return state, prediction

    @torch.no_grad()
    def imagine(
        self, state: DreamState, action: Tensor, generator: Generator
    ) -> tuple[DreamState, Prediction, Thoughts]:
        """As :meth:`step`, and how the model came to its prediction."""
        past = state["obs"]  # (B, L, C, H, W)
        actions = torch.cat((state["action"], action[:, None]), dim=1)  # (B, L)
        path = draw_path(self.denoiser, past, actions, self.config.sampler, generator=generator)
        obs = path[-1][:, None]
        lstm = (state["hidden"], state["cell"])
        logits_reward, logits_end, (hidden, cell) = self.reward_end(past[:, -1:], action[:, None], obs, lstm)
        logits_reward, logits_end = logits_reward[:, 0], logits_end[:, 0]  # (B, 3), (B, 2)
        reward = draw(logits_reward, generator).float() - 1
        terminated = draw(logits_end, generator).bool()
        frames = torch.cat((past[:, 1:], obs), dim=1)
        next_state = {"obs": frames, "action": actions[:, 1:], "hidden": hidden, "cell": cell}
        prediction = Prediction(to_pixels(path[-1]), reward, terminated)
        return next_state, prediction, Thoughts(path, logits_reward, logits_end)
