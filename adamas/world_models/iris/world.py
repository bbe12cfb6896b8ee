"""IRIS as a world model: a tokenizer that sees, and a transformer over tokens that dreams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Generator, Tensor, nn

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.core.protocols import Component, DreamState
from adamas.core.seeding import sample_categorical
from adamas.core.types import Batch, SegmentSpec, to_pixels
from adamas.world_models.iris.dynamics import Dynamics, DynamicsConfig
from adamas.world_models.iris.tokenizer import Tokenizer, TokenizerConfig
from adamas.world_models.iris.transformer import Cache


@dataclass(frozen=True, kw_only=True)
class IrisConfig:
    """The parts of the world model."""

    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    dynamics: DynamicsConfig = field(default_factory=DynamicsConfig)
    burn_in: int = 20
    """Number of real frames before the first frame of a dream. The policy sees them, and the dynamics do not."""
    perceptual: Literal["lpips", "none"] = "lpips"
    """Perceptual term of the tokenizer's loss. lpips: the LPIPS distance with VGG16, as published. none: no such
    term, which needs no weights of other networks."""


class Imagined(NamedTuple):
    """One step of B dreams: what the policy sees next, reward signs (B,) float32, and ends (B,) bool."""

    features: Tensor
    reward: Tensor
    terminated: Tensor


class Iris(nn.Module):
    """The world model of the paper.

    The state of B dreams holds ``tokens`` (B, K), those of the newest frame; ``keys`` and ``values``
    (B, layers, heads, P, D / heads) of the transformer, and ``length`` (B,), how many of their P positions are filled.
    Policies see frames as the tokens keep them, (B, C, H, W) float32 in [-1, 1].
    """

    def __init__(self, config: IrisConfig, obs_shape: tuple[int, int, int], action_spec: ActionSpec) -> None:
        super().__init__()
        if not action_spec.is_discrete:
            raise UserError(f"iris takes one choice among several actions, and this game has {action_spec}")
        self.config = config
        self.tokenizer = Tokenizer(config.tokenizer, obs_shape)
        self.world_model = Dynamics(
            config.dynamics, self.tokenizer.num_tokens, config.tokenizer.vocab_size, action_spec.num_actions
        )

    @property
    def context_length(self) -> int:
        """Number L of real frames that start a dream."""
        return self.config.burn_in + 1

    @torch.no_grad()
    def perceive(self, obs: Tensor) -> Tensor:
        """What the policy sees of real frames, (B, C, H, W) uint8: (B, C, H, W) float32 in [-1, 1]."""
        return self.tokenizer.reconstruct(obs)

    @torch.no_grad()
    def start(self, context: Batch) -> tuple[DreamState, Tensor]:
        """Start B dreams from L real frames each, of which the dynamics see only the last.

        Returns:
            The state, and what the policy sees of the context, (B, L, C, H, W).
        """
        seen = self.perceive(context.obs.flatten(0, 1)).reshape(context.obs.shape)
        tokens = self.tokenizer.encode(context.obs[:, -1])
        _, cache = self.world_model.extend(tokens, 0, self.world_model.empty_cache(len(tokens)))
        return _state(tokens, cache), seen

    @torch.no_grad()
    def imagine(self, state: DreamState, action: Tensor, generator: Generator) -> tuple[DreamState, Imagined]:
        """Draw the reward, the end and the next frame's tokens after ``action``, (B,) int64.

        A dream whose next step has no room in the cache forgets all but its newest frame first.
        """
        model, num_tokens = self.world_model, self.tokenizer.num_tokens
        cache = self._with_room(state)
        logits, cache = model.extend(action[:, None], num_tokens, cache)
        reward = sample_categorical(logits.reward[:, 0], generator).float() - 1
        terminated = sample_categorical(logits.end[:, 0], generator).bool()
        drawn = [sample_categorical(logits.obs[:, 0], generator)]
        for place in range(num_tokens - 1):
            logits, cache = model.extend(drawn[-1][:, None], place, cache)
            drawn.append(sample_categorical(logits.obs[:, 0], generator))
        _, cache = model.extend(drawn[-1][:, None], num_tokens - 1, cache)
        tokens = torch.stack(drawn, dim=1)
        return _state(tokens, cache), Imagined(self.tokenizer.decode(tokens), reward, terminated)

    @torch.no_grad()
    def decode(self, state: DreamState) -> Tensor:
        """The newest frames of B dreams, for people: (B, C, H, W) uint8."""
        return to_pixels(self.tokenizer.decode(state["tokens"]))

    def components(self) -> Mapping[str, Component]:
        """The parts to train, in this order."""
        frames = SegmentSpec(1, final_frame=False)
        steps = SegmentSpec(self.config.dynamics.max_blocks + 1, past_end=True)
        return {
            "tokenizer": Component(self.tokenizer, self._tokenizer_loss, frames),
            "dynamics": Component(self.world_model, self._dynamics_loss, steps),
        }

    def _tokenizer_loss(self, batch: Batch, generator: Generator) -> tuple[Tensor, Mapping[str, Tensor]]:
        return self.tokenizer.loss(batch.obs[:, 0])

    def _dynamics_loss(self, batch: Batch, generator: Generator) -> tuple[Tensor, Mapping[str, Tensor]]:
        obs = batch.obs[:, :-1]
        tokens = self.tokenizer.encode(obs.flatten(0, 1)).reshape(*obs.shape[:2], -1)
        end = batch.terminated | batch.truncated
        return self.world_model.loss(
            tokens, batch.action, batch.reward, end, batch.transition_mask, generator
        )

    def _with_room(self, state: DreamState) -> Cache:
        """The cache of a state; dreams without room for another step begin again with their newest frame."""
        model = self.world_model
        cache = Cache(state["keys"], state["values"], state["length"])
        full = (cache.length + model.block_length > model.max_length).nonzero()[:, 0]
        if not len(full):
            return cache
        _, fresh = model.extend(state["tokens"][full], 0, model.empty_cache(len(full)))
        return Cache(
            cache.keys.index_copy(0, full, fresh.keys),
            cache.values.index_copy(0, full, fresh.values),
            cache.length.index_copy(0, full, fresh.length),
        )


def _state(tokens: Tensor, cache: Cache) -> DreamState:
    return {"tokens": tokens, "keys": cache.keys, "values": cache.values, "length": cache.length}
