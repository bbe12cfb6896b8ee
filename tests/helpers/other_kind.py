"""A world model of another kind than the paper's: a matrix predicts the next frame, and its loss looks at values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor, nn

from adamas.core.actions import ActionSpec
from adamas.core.protocols import Component, DreamState
from adamas.core.types import Batch, SegmentSpec, to_model_range, to_pixels
from adamas.presets import preset
from adamas.rl.part_training import ComponentTraining, TrainingConfig
from adamas.training.config import Config
from adamas.world_models.base import Imagined, WorldModel, WorldModelConfig
from tests.helpers.frame_model import FrameModel


class Matrix(FrameModel):
    def __init__(self, obs_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.linear = nn.Linear(torch.Size(obs_shape).numel(), torch.Size(obs_shape).numel())

    def begin(self, context: Batch) -> DreamState:
        return {}

    def predict(self, obs: Tensor) -> Tensor:
        x = to_model_range(obs)
        return self.linear(x.flatten(1)).reshape(x.shape)

    def imagine(self, state: DreamState, action: Tensor, generator: Generator) -> tuple[DreamState, Imagined]:
        frame = to_pixels(self.predict(state["frame"]))
        return {"frame": frame}, Imagined(frame, torch.zeros(len(frame)), frame.flatten(1).sum(1) < 0)

    def step(self, state: DreamState, action: Tensor, generator: Generator) -> tuple[DreamState, Imagined]:
        raise NotImplementedError

    def components(self, horizon: int) -> Mapping[str, Component]:
        return {"matrix": Component(self, self.loss, SegmentSpec(2))}

    def loss(self, batch: Batch, generator: Generator) -> tuple[Tensor, Mapping[str, Tensor]]:
        real = batch.transition_mask[:, 0].nonzero()[:, 0]
        error = self.predict(batch.obs[real, 0]) - to_model_range(batch.obs[real, 1])
        loss = error[error.abs() > 0].square().mean()  # how many they are depends on values
        return loss, {"loss": loss.detach()}


@dataclass(frozen=True, kw_only=True)
class MatrixConfig(WorldModelConfig):
    kind: Literal["matrix"] = "matrix"
    shows_frames: ClassVar[bool] = True

    def build(self, obs_shape: tuple[int, int, int], action_spec: ActionSpec) -> WorldModel:
        return Matrix(obs_shape)

    def feature_shape(self, obs_shape: tuple[int, int, int]) -> tuple[int, ...]:
        return obs_shape

    @property
    def num_blocks(self) -> int:
        return 1


@dataclass(frozen=True, kw_only=True)
class MatrixTraining(TrainingConfig):
    kind: Literal["matrix"] = "matrix"
    matrix: ComponentTraining = field(default_factory=ComponentTraining)


def matrix_config() -> Config:
    """The debug preset with this world model."""
    config = preset("debug")
    training = MatrixTraining(
        actor_critic=config.training.actor_critic,
        matrix=ComponentTraining(batch_size=4, first_epoch_updates=2, updates_per_epoch=2),
    )
    return replace(config, world_model=MatrixConfig(), training=training)
