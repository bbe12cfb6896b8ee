"""The three things the training loop knows: environments, policies and world models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from torch import Generator, Tensor, nn

from adamas.core.actions import ActionSpec
from adamas.core.types import Batch, EnvReset, EnvStep, SegmentSpec


class VectorEnv(Protocol):
    """B copies of an environment, real or dreamt, stepped together."""

    @property
    def num_envs(self) -> int: ...

    @property
    def action_spec(self) -> ActionSpec: ...

    @property
    def obs_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        ...

    def reset(self) -> EnvReset:
        """Start a new episode in every environment."""
        ...

    def step(self, action: Tensor) -> EnvStep:
        """Take one action, (B,) int64, in each environment."""
        ...

    def close(self) -> None:
        """Release what the environments hold."""
        ...


class PolicyOutput(NamedTuple):
    """What a policy answers to a frame: logits (B, A), value (B,), next recurrent state."""

    logits: Tensor
    value: Tensor
    state: Any


class Policy(Protocol):
    """Maps frames to action logits and values, with a recurrent state that is passed in and out.

    The state is a tuple of tensors with B as their first dimension, so that single worlds can be reset.
    """

    def initial_state(self, batch_size: int) -> tuple[Tensor, ...]: ...

    def __call__(self, obs: Tensor, state: tuple[Tensor, ...]) -> PolicyOutput: ...


class Prediction(NamedTuple):
    """What a world model says follows: obs (B, C, H, W) uint8, reward (B,) float32, terminated (B,) bool."""

    obs: Tensor
    reward: Tensor
    terminated: Tensor


Loss = Callable[[Batch, Generator], tuple[Tensor, Mapping[str, Tensor]]]
"""``(batch, generator) -> (scalar, metrics)``."""


@dataclass(frozen=True)
class Component:
    """One separately optimised part of a world model.

    Attributes:
        module: what is trained.
        loss: what it minimises.
        segments: which segments of the replay it trains on.
        shrink: makes the small frames that it trains on, (K, C, h, w) uint8, of the replay's (K, C, H, W). Its loss
            takes batches of either. None: it trains on the replay's own frames.
    """

    module: nn.Module
    loss: Loss
    segments: SegmentSpec
    shrink: Callable[[Tensor], Tensor] | None = None


DreamState = dict[str, Tensor]
"""Where B dreams stand: tensors by name, each with B as its first dimension."""


class WorldModel(Protocol):
    """A learned environment. Its state is explicit: in and out, never hidden in the module."""

    @property
    def context_length(self) -> int:
        """Number L of real frames that start a dream."""
        ...

    def initial_state(self, context: Batch) -> DreamState:
        """Burn in on L real frames (and the L - 1 actions between them)."""
        ...

    def step(self, state: DreamState, action: Tensor, generator: Generator) -> tuple[DreamState, Prediction]:
        """Imagine what follows ``action``, (B,) int64."""
        ...

    def components(self, horizon: int) -> Mapping[str, Component]:
        """What is trained, in this order, each by its own optimiser; for dreams of ``horizon`` steps."""
        ...
