"""The interfaces that the training loop relies on: environments, policies and the parts of world models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from torch import Generator, Tensor, nn

from adamas.core.actions import ActionSpec
from adamas.core.types import Batch, EnvReset, EnvStep, SegmentSpec


class VectorEnv(Protocol):
    """B copies of an environment, real or dreamt, that step together."""

    @property
    def num_envs(self) -> int: ...

    @property
    def action_spec(self) -> ActionSpec: ...

    @property
    def obs_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of a frame."""
        ...

    def reset(self) -> EnvReset:
        """Start a new episode in every environment."""
        ...

    def step(self, action: Tensor) -> EnvStep:
        """Take one action in each environment: (B,) int64, or (B, D) float32 where actions are vectors."""
        ...

    def close(self) -> None:
        """Release what the environments hold."""
        ...


class PolicyOutput(NamedTuple):
    """The output of a policy: parameters of the action distribution (B, P), value (B,), next recurrent state."""

    logits: Tensor
    value: Tensor
    state: Any


class Policy(Protocol):
    """Maps what it sees to action distributions and values, with a recurrent state that is passed in and returned.

    What it sees are frames (B, C, H, W) uint8 in a real game, and in dreams whatever the world model shows it. The
    state is a tuple of tensors with B as their first dimension, so that single environments can be reset.
    """

    def initial_state(self, batch_size: int) -> tuple[Tensor, ...]: ...

    def __call__(self, obs: Tensor, state: tuple[Tensor, ...]) -> PolicyOutput: ...

    def remember(self, state: tuple[Tensor, ...], action: Tensor) -> tuple[Tensor, ...]:
        """The state after ``action``, (B,) int64 or (B, D) float32, was taken."""
        ...


class RecurrentPolicy(Policy, Protocol):
    """A policy in two parts, of which the first needs no state, so that many frames can be encoded at once."""

    def encode(self, obs: Tensor) -> Tensor:
        """What the policy sees of B environments -> (B, features)."""
        ...

    def step(self, features: Tensor, state: tuple[Tensor, ...]) -> PolicyOutput:
        """(B, features) and the state -> what the whole policy returns for these frames."""
        ...


Loss = Callable[[Batch, Generator], tuple[Tensor, Mapping[str, Tensor]]]
"""``(batch, generator) -> (scalar loss, metrics by name)``."""


@dataclass(frozen=True)
class Component:
    """One separately optimised part of a world model.

    Attributes:
        module: the network to train.
        loss: the loss to minimise.
        segments: which segments of the replay buffer it trains on.
        shrink: downscales frames of the replay buffer, (K, C, H, W) uint8, to those that it trains on, (K, C, h, w).
            The loss accepts batches of either size. None if it trains on frames of full size.
    """

    module: nn.Module
    loss: Loss
    segments: SegmentSpec
    shrink: Callable[[Tensor], Tensor] | None = None


DreamState = dict[str, Tensor]
"""The state of B dreams: tensors by name, each with B as its first dimension."""
