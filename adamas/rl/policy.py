"""What all policies that learn have in common, whatever they see."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.core.kinds import Open
from adamas.core.protocols import PolicyOutput
from adamas.rl.action_distribution import num_parameters


@dataclass(frozen=True, kw_only=True)
class PolicyConfig(Open):
    """Base of the configurations of policies.

    To add a policy, write such a configuration and a :class:`PolicyNetwork`, and register the configuration
    (:func:`adamas.core.kinds.register`).
    """

    kind: str

    @abstractmethod
    def build(self, features: tuple[int, ...], action_spec: ActionSpec) -> PolicyNetwork:
        """Build the policy with random weights.

        Args:
            features: the shape of what the policy sees, without the batch: (C, H, W) where it sees frames.
            action_spec: what it may do.

        Raises:
            UserError: it cannot see features of this shape.
        """


class PolicyNetwork(nn.Module, ABC):
    """A policy and value function with a recurrent state: a :class:`~adamas.core.protocols.RecurrentPolicy`.

    What it sees, the features, is what the world model says: frames (B, C, H, W) uint8, or (B, ...) float32.
    """

    @abstractmethod
    def initial_state(self, batch_size: int) -> tuple[Tensor, ...]:
        """The state at the start of an episode: tensors with ``batch_size`` as their first dimension."""

    @abstractmethod
    def encode(self, obs: Tensor) -> Tensor:
        """Map the features to what the recurrent part sees: (B, n)."""

    @abstractmethod
    def step(self, features: Tensor, state: tuple[Tensor, ...]) -> PolicyOutput:
        """Map (B, n) to parameters of the action distribution (B, P), values (B,) and the new state."""

    def remember(self, state: tuple[Tensor, ...], action: Tensor) -> tuple[Tensor, ...]:
        """Return the state as it is: the policy does not see actions."""
        return state

    def forward(self, obs: Tensor, state: tuple[Tensor, ...]) -> PolicyOutput:
        """Map the features to parameters of the action distribution (B, P), values (B,) and the new state."""
        return self.step(self.encode(obs), state)


class LstmPolicy(PolicyNetwork):
    """A policy whose recurrent part is an LSTM cell, with linear heads for policy and value.

    A subclass builds its encoder first and calls :meth:`add_lstm` then.
    """

    def add_lstm(self, features: int, lstm_dim: int, action_spec: ActionSpec) -> None:
        """Add the cell and the heads, for ``features`` inputs and a state of ``lstm_dim`` values."""
        self.lstm = nn.LSTMCell(features, lstm_dim)
        self.critic_linear = nn.Linear(lstm_dim, 1)
        self.actor_linear = nn.Linear(lstm_dim, num_parameters(action_spec))

    def initial_state(self, batch_size: int) -> tuple[Tensor, ...]:
        """Return a zero hidden and cell state, (B, lstm_dim) each."""
        zeros = self.lstm.weight_hh.new_zeros(batch_size, self.lstm.hidden_size)
        return zeros, zeros.clone()

    def step(self, features: Tensor, state: tuple[Tensor, ...]) -> PolicyOutput:
        """Map (B, features) to parameters of the action distribution (B, P), values (B,) and the new state."""
        hidden, cell = self.lstm(features, state)
        return PolicyOutput(self.actor_linear(hidden), self.critic_linear(hidden)[:, 0], (hidden, cell))


def frame_shape(features: tuple[int, ...]) -> tuple[int, int, int]:
    """``features`` as the shape (C, H, W) of frames. Raises UserError if the policy would not see frames."""
    if len(features) != 3:
        raise UserError(
            f"`actor_critic.kind` sees frames, but the world model shows features of shape {tuple(features)}; choose "
            "a policy for features"
        )
    channels, height, width = features
    return channels, height, width
