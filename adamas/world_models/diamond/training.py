"""How the parts of a diffusion world model and its policy are trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from adamas.nn.optim import OptimizerConfig
from adamas.rl.part_training import ComponentTraining, TrainingConfig


@dataclass(frozen=True, kw_only=True)
class DiamondTraining(TrainingConfig):
    """How each part of an agent is trained. None for a part that the agent does not have."""

    kind: Literal["diamond"] = "diamond"
    denoiser: ComponentTraining = field(default_factory=ComponentTraining)
    reward_end: ComponentTraining | None = field(
        default_factory=lambda: ComponentTraining(optimizer=OptimizerConfig(max_grad_norm=100.0))
    )
    upsampler: ComponentTraining | None = None
