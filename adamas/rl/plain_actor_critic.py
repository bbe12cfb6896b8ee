"""IRIS's actor-critic: plain convolutions and an LSTM cell (Micheli et al. 2023, appendix A)."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.core.protocols import PolicyOutput
from adamas.core.runtime import in_chosen_mode
from adamas.core.types import to_model_range
from adamas.nn.blocks import conv3x3
from adamas.rl.action_distribution import num_parameters

LstmState = tuple[Tensor, ...]


@dataclass(frozen=True, kw_only=True)
class PlainActorCriticConfig:
    """Sizes of the actor-critic without residual blocks and norms."""

    lstm_dim: int = 512
    """Size of the LSTM state, at least 1."""
    channels: tuple[int, ...] = (32, 32, 64, 64)
    """Number of channels after each convolution. Each is followed by a 2x2 max-pooling, which halves height and
    width."""

    def __post_init__(self) -> None:
        if not self.channels or min(self.lstm_dim, *self.channels) < 1:
            raise UserError("actor_critic: `lstm_dim` and all `channels` must be at least 1")


class PlainActorCritic(nn.Module):
    """A recurrent policy and value function of frames. Layers are initialised as PyTorch does."""

    def __init__(
        self, config: PlainActorCriticConfig, obs_shape: tuple[int, int, int], action_spec: ActionSpec
    ) -> None:
        super().__init__()
        self.config = config
        count, height, width = obs_shape
        factor = 2 ** len(config.channels)
        features = config.channels[-1] * (height // factor) * (width // factor)
        if not features:
            raise UserError(
                f"actor_critic: {len(config.channels)} poolings leave nothing of a {height}x{width} image; use fewer "
                "`channels`"
            )
        for number, channels in enumerate(config.channels, 1):
            self.add_module(f"conv{number}", conv3x3(count, channels))
            count = channels
        self.lstm = nn.LSTMCell(features, config.lstm_dim)
        self.critic_linear = nn.Linear(config.lstm_dim, 1)
        self.actor_linear = nn.Linear(config.lstm_dim, num_parameters(action_spec))

    def initial_state(self, batch_size: int) -> LstmState:
        """Return a zero hidden and cell state, (B, lstm_dim) each."""
        zeros = self.lstm.weight_hh.new_zeros(batch_size, self.config.lstm_dim)
        return zeros, zeros.clone()

    @in_chosen_mode
    def encode(self, obs: Tensor) -> Tensor:
        """Map frames (B, C, H, W), uint8 or float32 in [-1, 1], to (B, features)."""
        x = obs if obs.is_floating_point() else to_model_range(obs)
        for number in range(1, len(self.config.channels) + 1):
            x = F.relu(F.max_pool2d(self.get_submodule(f"conv{number}")(x), 2))
        return x.flatten(1)

    def step(self, features: Tensor, state: LstmState) -> PolicyOutput:
        """Map (B, features) to parameters of the action distribution (B, P), values (B,) and the new state."""
        hidden, cell = self.lstm(features, state)
        return PolicyOutput(self.actor_linear(hidden), self.critic_linear(hidden)[:, 0], (hidden, cell))

    def forward(self, obs: Tensor, state: LstmState) -> PolicyOutput:
        """Map frames, as in :meth:`encode`, to parameters (B, P), values (B,) and the new state."""
        return self.step(self.encode(obs), state)
