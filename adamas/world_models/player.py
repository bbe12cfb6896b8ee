"""A policy that plays a real game: the world model watches the frames, and the policy acts on what it shows."""

from __future__ import annotations

from torch import Tensor

from adamas.core.protocols import PolicyOutput
from adamas.rl.policy import PolicyNetwork
from adamas.world_models.base import WorldModel


class Player:
    """A :class:`~adamas.core.protocols.Policy` on frames (B, C, H, W) uint8.

    Its state holds the world model's memory of the game, and then the policy's own state.

    Attributes:
        world_model: what watches.
        policy: what acts.
    """

    def __init__(self, world_model: WorldModel, policy: PolicyNetwork) -> None:
        self.world_model = world_model
        self.policy = policy
        self._size = len(world_model.initial_memory(1))

    def initial_state(self, batch_size: int) -> tuple[Tensor, ...]:
        """The state at the start of an episode."""
        return self.world_model.initial_memory(batch_size) + self.policy.initial_state(batch_size)

    def __call__(self, obs: Tensor, state: tuple[Tensor, ...]) -> PolicyOutput:
        """Map frames to parameters of the action distribution (B, P), values (B,) and the new state."""
        features, memory = self.world_model.observe(state[: self._size], obs)
        output = self.policy(features, self.own_state(state))
        return output._replace(state=memory + output.state)

    def remember(self, state: tuple[Tensor, ...], action: Tensor) -> tuple[Tensor, ...]:
        """Tell both which action was taken."""
        memory = self.world_model.remember(state[: self._size], action)
        return memory + self.policy.remember(self.own_state(state), action)

    def own_state(self, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The policy's own part of the state, with which it can go on in a dream."""
        return state[self._size :]
