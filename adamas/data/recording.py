"""Environments on their way into a store."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from adamas.core.types import EnvStep
from adamas.data.store import NEW, EpisodeStore


class Recording:
    """What happens in B environments, step by step.

    Attributes:
        store: where it goes. Who records commits.
        episode: (B,) int64, the number of the running episode of each; ``NEW`` where none has begun.
    """

    def __init__(self, store: EpisodeStore, num_envs: int) -> None:
        self.store = store
        self.episode = np.full(num_envs, NEW)

    def add(self, obs: Tensor, action: Tensor, step: EnvStep) -> None:
        """The frames acted in, (B, C, H, W) uint8, the actions (B, ...), and what came of them.

        Raises:
            UserError: the disk is full.
        """
        self.episode = self.store.append(
            self.episode, obs, action, step.reward, step.terminated, step.truncated
        )
        ended = step.ended.numpy()
        if ended.any():
            self.store.append_final(self.episode[ended], step.final_obs)
            self.episode[ended] = NEW
