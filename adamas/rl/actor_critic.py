"""The actor-critic: a convolutional encoder, an LSTM cell, and heads for policy and value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.core.runtime import in_chosen_mode
from adamas.core.types import as_model_range
from adamas.nn.blocks import SmallResBlock, check_channels, conv3x3, init_lstm
from adamas.rl.policy import LstmPolicy, PolicyConfig, frame_shape


@dataclass(frozen=True, kw_only=True)
class ActorCriticConfig(PolicyConfig):
    """Sizes of the actor-critic."""

    kind: Literal["residual"] = "residual"
    """Network of the policy. residual: convolutions with residual blocks and an LSTM cell, on frames (Alonso et al.
    2024)."""
    lstm_dim: int = 512
    """Size of the LSTM state."""
    channels: tuple[int, ...] = (32, 32, 64, 64)
    """Number of channels at each level of the encoder, from the first level to the last."""
    down: tuple[bool, ...] = (True, True, True, True)
    """Whether each level ends in a 2x2 max-pooling, which halves height and width."""

    def __post_init__(self) -> None:
        if not len(self.channels) == len(self.down) >= 1:
            raise UserError(
                "`actor_critic.channels` and `actor_critic.down` need one entry per level, got "
                f"{len(self.channels)} and {len(self.down)}"
            )
        check_channels("`actor_critic.channels`", self.channels)

    def build(self, features: tuple[int, ...], action_spec: ActionSpec) -> ActorCritic:
        """Build the actor-critic for frames of shape ``features``, (C, H, W)."""
        return ActorCritic(self, features, action_spec)


class ActorCriticEncoder(nn.Module):
    """Convolutional encoder of frames."""

    def __init__(self, config: ActorCriticConfig, img_channels: int) -> None:
        super().__init__()
        channels = config.channels
        layers: list[nn.Module] = [conv3x3(img_channels, channels[0])]
        for i, pool in enumerate(config.down):
            layers.append(SmallResBlock(channels[max(0, i - 1)], channels[i]))
            if pool:
                layers.append(nn.MaxPool2d(2))
        self.encoder = nn.Sequential(*layers)

    @in_chosen_mode
    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, features)."""
        return self.encoder(x).flatten(1)


class ActorCritic(LstmPolicy):
    """A recurrent policy and value function with pixels as input (paper appendix D)."""

    def __init__(
        self, config: ActorCriticConfig, obs_shape: tuple[int, ...], action_spec: ActionSpec
    ) -> None:
        super().__init__()
        self.config = config
        img_channels, height, width = frame_shape(obs_shape)
        factor = 2 ** sum(config.down)
        features = config.channels[-1] * (height // factor) * (width // factor)
        if not features:
            raise UserError(
                f"`actor_critic.down`: {sum(config.down)} poolings leave nothing of a {height}x{width} image; use fewer"
            )
        self.encoder = ActorCriticEncoder(config, img_channels)
        self.add_lstm(features, config.lstm_dim, action_spec)
        init_lstm(self.lstm)
        for head in (self.critic_linear, self.actor_linear):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    def encode(self, obs: Tensor) -> Tensor:
        """Map frames (B, C, H, W), uint8 or float32 in [-1, 1], to what the recurrent part sees: (B, features)."""
        return self.encoder(as_model_range(obs))
