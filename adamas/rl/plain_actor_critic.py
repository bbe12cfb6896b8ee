"""An actor-critic of plain convolutions and an LSTM cell (Micheli et al. 2023, appendix A)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from adamas.core.actions import ActionSpec
from adamas.core.checks import check_minima
from adamas.core.errors import UserError
from adamas.core.runtime import in_chosen_mode
from adamas.core.types import as_model_range
from adamas.nn.blocks import conv3x3
from adamas.rl.policy import LstmPolicy, PolicyConfig, frame_shape


@dataclass(frozen=True, kw_only=True)
class PlainActorCriticConfig(PolicyConfig):
    """Sizes of the actor-critic without residual blocks and norms."""

    kind: Literal["plain"] = "plain"
    """Network of the policy. plain: a few convolutions and an LSTM cell, on frames (Micheli et al. 2023)."""
    lstm_dim: int = 512
    """Size of the LSTM state, at least 1."""
    channels: tuple[int, ...] = (32, 32, 64, 64)
    """Number of channels after each convolution. Each is followed by a 2x2 max-pooling, which halves height and
    width."""

    def __post_init__(self) -> None:
        check_minima("actor_critic.", self, lstm_dim=1)
        if min(self.channels, default=0) < 1:
            raise UserError(
                f"`actor_critic.channels` is {self.channels}; give it one or more numbers of at least 1"
            )

    def build(self, features: tuple[int, ...], action_spec: ActionSpec) -> PlainActorCritic:
        """Build the actor-critic for frames of shape ``features``, (C, H, W)."""
        return PlainActorCritic(self, features, action_spec)


class PlainActorCritic(LstmPolicy):
    """A recurrent policy and value function of frames. Layers are initialised as PyTorch does."""

    def __init__(
        self, config: PlainActorCriticConfig, obs_shape: tuple[int, ...], action_spec: ActionSpec
    ) -> None:
        super().__init__()
        self.config = config
        count, height, width = frame_shape(obs_shape)
        factor = 2 ** len(config.channels)
        features = config.channels[-1] * (height // factor) * (width // factor)
        if not features:
            raise UserError(
                f"`actor_critic.channels`: {len(config.channels)} poolings leave nothing of a {height}x{width} image; "
                "use fewer"
            )
        for number, channels in enumerate(config.channels, 1):
            self.add_module(f"conv{number}", conv3x3(count, channels))
            count = channels
        self.add_lstm(features, config.lstm_dim, action_spec)

    @in_chosen_mode
    def encode(self, obs: Tensor) -> Tensor:
        """Map frames (B, C, H, W), uint8 or float32 in [-1, 1], to (B, features)."""
        x = as_model_range(obs)
        for number in range(1, len(self.config.channels) + 1):
            x = F.relu(F.max_pool2d(self.get_submodule(f"conv{number}")(x), 2))
        return x.flatten(1)
