"""The reward/end model R_psi, which predicts the reward of a transition and whether it ends the episode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from adamas.core.actions import ActionSpec
from adamas.core.checks import check_range
from adamas.core.errors import UserError
from adamas.core.runtime import in_chosen_mode
from adamas.core.types import Batch, to_model_range
from adamas.nn.actions import action_encoder
from adamas.nn.blocks import Downsample, ResBlocks, check_channels, conv3x3, init_lstm

LstmState = tuple[Tensor, Tensor]
"""Hidden and cell state, (B, lstm_dim) each."""


@dataclass(frozen=True, kw_only=True)
class RewardEndConfig:
    """Sizes of the reward/end model, and the length of the sequences it learns from."""

    lstm_dim: int = 512
    """Size of the LSTM state."""
    cond_channels: int = 128
    """Size of the action embedding that conditions every block."""
    depths: tuple[int, ...] = (2, 2, 2, 2)
    """Number of residual blocks at each level, from the finest level to the coarsest."""
    channels: tuple[int, ...] = (32, 32, 32, 32)
    """Number of channels at each level, from the finest level to the coarsest. Each level has half the height and
    width of the one before."""
    attn_depths: tuple[bool, ...] = (False, False, False, False)
    """Whether the blocks of each level have self-attention. The last pair of blocks always has it."""
    segment_length: int | None = None
    """Number of frames in a training sequence, at least 2. By default, the length of a dream (horizon) plus the
    frames that it starts from, so that the LSTM is trained on sequences as long as dreams."""

    def __post_init__(self) -> None:
        if not len(self.depths) == len(self.channels) == len(self.attn_depths) >= 1:
            raise UserError(
                "`reward_end.depths`, `reward_end.channels` and `reward_end.attn_depths` need one entry per level, got "
                f"{len(self.depths)}, {len(self.channels)} and {len(self.attn_depths)}"
            )
        check_channels("`reward_end.channels`", self.channels)
        check_range("reward_end.segment_length", self.segment_length, least=2)


class RewardEndEncoder(nn.Module):
    """Convolutions over the two frames of a transition, conditioned on the action by AdaGN."""

    def __init__(self, in_channels: int, config: RewardEndConfig) -> None:
        super().__init__()
        channels, cond = config.channels, config.cond_channels
        self.conv_in = conv3x3(in_channels, channels[0])
        levels = [
            ResBlocks([channels[max(0, i - 1)]] + [channels[i]] * (n - 1), [channels[i]] * n, cond, attn)
            for i, (n, attn) in enumerate(zip(config.depths, config.attn_depths, strict=True))
        ]
        last = ResBlocks([channels[-1]] * 2, [channels[-1]] * 2, cond, attn=True)
        self.blocks = nn.ModuleList([*levels, last])
        self.downsamples = nn.ModuleList(
            [nn.Identity(), *(Downsample(c) for c in channels[:-1]), nn.Identity()]
        )

    @in_chosen_mode
    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        """(B, in_channels, H, W), (B, cond_channels) -> (B, channels[-1], H / 2^levels, W / 2^levels)."""
        x = self.conv_in(x)
        for blocks, downsample in zip(self.blocks, self.downsamples, strict=True):
            x, _ = blocks(downsample(x), cond)
        return x


class RewardEndModel(nn.Module):
    """Predicts the sign of the reward and the end of the episode, over time (paper appendix D)."""

    def __init__(
        self, config: RewardEndConfig, obs_shape: tuple[int, int, int], action_spec: ActionSpec
    ) -> None:
        super().__init__()
        self.config = config
        img_channels, height, width = obs_shape
        factor = 2 ** (len(config.depths) - 1)
        features = config.channels[-1] * -(-height // factor) * -(-width // factor)
        self.encoder = RewardEndEncoder(2 * img_channels, config)
        self.act_emb = action_encoder(action_spec, config.cond_channels)
        self.lstm = nn.LSTM(features, config.lstm_dim, batch_first=True)
        self.head = nn.Sequential(
            nn.Linear(config.lstm_dim, config.lstm_dim),
            nn.SiLU(),
            nn.Linear(config.lstm_dim, 3 + 2, bias=False),
        )
        init_lstm(self.lstm)

    def forward(
        self, obs: Tensor, action: Tensor, next_obs: Tensor, state: LstmState | None = None
    ) -> tuple[Tensor, Tensor, LstmState]:
        """Predict rewards and ends of T consecutive transitions.

        Args:
            obs: (B, T, C, H, W) in [-1, 1].
            action: (B, T) int64, or (B, T, D) float32, taken in ``obs``.
            next_obs: (B, T, C, H, W) in [-1, 1], the frames that followed.
            state: recurrent state before the first transition; zeros when not given.

        Returns:
            Logits of the reward's sign (B, T, 3: -1, 0, 1), logits of the end (B, T, 2: no, yes), and the next state.
        """
        b, t = action.shape[:2]
        pair = torch.cat((obs, next_obs), dim=2).flatten(0, 1)  # (B * T, 2 C, H, W)
        x = self.encoder(pair, self.act_emb(action.flatten(0, 1)))
        if state is not None:
            state = (state[0][None].contiguous(), state[1][None].contiguous())  # nn.LSTM counts layers first
        x, (h, c) = self.lstm(x.reshape(b, t, -1), state)  # (B, T, lstm_dim)
        logits_reward, logits_end = self.head(x).split((3, 2), dim=-1)
        return logits_reward, logits_end, (h[0], c[0])

    def loss(self, batch: Batch, generator: Generator) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Sum of the cross-entropies of reward sign and end, over the real (unpadded) transitions of a batch.

        Besides the losses, the metrics hold the confusion matrices ``reward_confusion`` (3, 3) and
        ``end_confusion`` (2, 2), whose rows are true classes and whose columns are predicted classes.
        """
        del generator  # This loss is deterministic, but the losses of all components take a generator.
        obs = to_model_range(batch.obs, batch.mask)
        logits_reward, logits_end, _ = self(obs[:, :-1], batch.action, obs[:, 1:])
        weight = batch.transition_mask.float()
        weight = weight / weight.sum().clamp(min=1)  # (B, T), sums to 1
        true_reward = batch.reward.sign().long() + 1  # (B, T) in {0, 1, 2}
        true_end = batch.terminated.long()  # (B, T) in {0, 1}
        loss_reward = (F.cross_entropy(logits_reward.mT, true_reward, reduction="none") * weight).sum()
        loss_end = (F.cross_entropy(logits_end.mT, true_end, reduction="none") * weight).sum()
        metrics = {
            "loss": (loss_reward + loss_end).detach(),
            "loss_reward": loss_reward.detach(),
            "loss_end": loss_end.detach(),
            "reward_confusion": confusion(true_reward, logits_reward, batch.transition_mask),
            "end_confusion": confusion(true_end, logits_end, batch.transition_mask),
        }
        return loss_reward + loss_end, metrics


def confusion(target: Tensor, logits: Tensor, mask: Tensor) -> Tensor:
    """Compute a confusion matrix: counts of predicted classes (columns) for each true class (rows).

    Args:
        target: (B, T) int64 in [0, n).
        logits: (B, T, n).
        mask: (B, T) bool, True for the transitions that count.

    Returns:
        (n, n) float.
    """
    n = logits.shape[-1]
    cell = (target * n + logits.argmax(dim=-1)).flatten()  # (B * T,), index into the flattened matrix
    counts = torch.zeros(n * n, device=logits.device)
    return counts.index_add_(0, cell, mask.flatten().float()).view(n, n)
