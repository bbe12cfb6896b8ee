"""Base of the world models of tests, whose policies see frames."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from torch import Generator, Tensor

from adamas.core.protocols import Component, DreamState
from adamas.core.types import Batch
from adamas.world_models.base import Imagined, WorldModel


class FrameModel(WorldModel):
    """A world model that is a rule: ``begin`` and ``step`` say how a dream starts and goes on."""

    length = 1

    @property
    def context_length(self) -> int:
        """Number of real frames that start a dream."""
        return self.length

    @abstractmethod
    def begin(self, context: Batch) -> DreamState:
        """The state of dreams that start."""

    @abstractmethod
    def step(self, state: DreamState, action: Tensor, generator: Generator) -> tuple[DreamState, Imagined]:
        """The next state, and the frames in it."""

    def start(self, context: Batch) -> tuple[DreamState, Tensor]:
        return {**self.begin(context), "frame": context.obs[:, -1]}, context.obs

    def imagine(self, state: DreamState, action: Tensor, generator: Generator) -> tuple[DreamState, Imagined]:
        state, imagined = self.step(state, action, generator)
        return {**state, "frame": imagined.features}, imagined

    def decode(self, state: DreamState) -> Tensor:
        return state["frame"]

    def components(self, horizon: int) -> Mapping[str, Component]:
        return {}
