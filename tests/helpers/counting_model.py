"""A world model that counts.

Frame t of episode e in the dataset is 10 e + t in its first channel. A dream goes on from the last frame of its
context: each step adds its action, and the dream ends at 50 and beyond.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from adamas.core.actions import ActionSpec
from adamas.core.protocols import DreamState
from adamas.core.types import Batch
from adamas.data import NEW, EpisodeStore
from adamas.world_models.base import Imagined
from tests.helpers.frame_model import FrameModel
from tests.helpers.tiny_agent import tiny_agent_config

L = 3
SHAPE = (3, 8, 4)
CONFIG = tiny_agent_config(
    obs_shape=SHAPE, actions=("stay", "go", "leap"), context_length=L, cond_channels=12
)
STEP = torch.tensor([0, 1, 60])  # what each action adds
MAKE = "adamas.interop.dream_env:adamas/Dream-v0"


def frames(count: Tensor) -> Tensor:
    """(B,) to (B, 3, 8, 4): the number, then the row and the column of each pixel."""
    row, column = torch.meshgrid(torch.arange(8), torch.arange(4), indexing="ij")
    places = torch.stack((row, column)).expand(len(count), 2, 8, 4)
    number = count[:, None, None, None].expand(-1, 1, 8, 4)
    return torch.cat((number, places), dim=1).to(torch.uint8)


class CountingModel(FrameModel):
    length = L

    def begin(self, context: Batch) -> DreamState:
        self.last_context = context
        return {"count": context.obs[:, -1, 0, 0, 0].long()}

    def step(self, state: DreamState, action: Tensor, generator: Generator) -> tuple[DreamState, Imagined]:
        count = state["count"] + STEP[action]
        sign = action.float() - 1
        return {"count": count}, Imagined(frames(count), sign, count >= 50)


def write(
    folder: Path,
    lengths: Sequence[int],
    shape: tuple[int, int, int] = SHAPE,
    action: Any = (2,),
    spec: ActionSpec | None = None,
) -> Path:
    store = EpisodeStore.create(folder, shape, spec)
    for e, length in enumerate(lengths):
        obs = [np.full((1, *shape), 10 * e + t, np.uint8) for t in range(length)]
        number, no = np.array([NEW]), np.zeros(1, bool)
        for one in obs[:-1]:
            number = store.append(number, one, np.asarray(action), np.zeros(1, np.float32), no, no)
        store.append_final(number, obs[-1])
    store.commit()
    return folder
