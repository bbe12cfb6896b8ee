"""How the parts of IRIS and its policy are trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from adamas.rl.part_training import ComponentTraining, TrainingConfig


@dataclass(frozen=True, kw_only=True)
class IrisTraining(TrainingConfig):
    """How each part of an agent is trained."""

    kind: Literal["iris"] = "iris"
    tokenizer: ComponentTraining = field(default_factory=ComponentTraining)
    dynamics: ComponentTraining = field(default_factory=ComponentTraining)
