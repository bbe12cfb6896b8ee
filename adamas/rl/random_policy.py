"""A policy that acts at random."""

from __future__ import annotations

import torch
from torch import Tensor

from adamas.core.actions import ActionSpec
from adamas.core.protocols import PolicyOutput
from adamas.rl.action_distribution import num_parameters


class RandomPolicy:
    """Random baseline: takes every option of a choice, and both states of a button, with the same probability.

    Positions of axes are those of an untrained policy, which are not uniform. For uniform ones, roll out with an
    epsilon of 1.
    """

    def __init__(self, action_spec: ActionSpec) -> None:
        self.num_parameters = num_parameters(action_spec)

    def initial_state(self, batch_size: int) -> tuple[Tensor, ...]:
        """Return no tensors: the policy has no recurrent state."""
        return ()

    def __call__(self, obs: Tensor, state: tuple[Tensor, ...]) -> PolicyOutput:
        """Return equal logits and a value of 0."""
        return PolicyOutput(
            torch.zeros(len(obs), self.num_parameters, device=obs.device),
            torch.zeros(len(obs), device=obs.device),
            state,
        )

    def remember(self, state: tuple[Tensor, ...], action: Tensor) -> tuple[Tensor, ...]:
        """Return the state as it is."""
        return state
