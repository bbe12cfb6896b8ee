"""The dynamics of IRIS: a transformer that predicts the next frame's tokens, the reward and the end.

One step is a block of K + 1 positions: the K tokens of a frame, row by row, and the action taken in it. ::

    position p mod (K + 1)   0        1     ...   K - 1     K
    input                    z_t^1    z_t^2 ...   z_t^K     a_t
    predicts                 z_t^2    z_t^3 ...   nothing   z_{t+1}^1, reward r_t, end e_t
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from adamas.core.checks import check_minima
from adamas.world_models.iris.transformer import Cache, Transformer, TransformerConfig

NUM_REWARDS = 3  # signs -1, 0 and 1
INIT_STD = 0.02
IGNORED = -100  # label of a position that has no label


@dataclass(frozen=True, kw_only=True)
class DynamicsConfig:
    """Sizes of the dynamics model."""

    transformer: TransformerConfig = field(default_factory=TransformerConfig)
    max_blocks: int = 20
    """Number of steps (a frame and an action each) that the transformer can look back on, including the present one.
    It is also the number of steps in a training sequence, at least 2."""

    def __post_init__(self) -> None:
        check_minima("dynamics.", self, max_blocks=2)


class Logits(NamedTuple):
    """What the heads say at the positions given to the model, each in order of position.

    Attributes:
        obs: (B, n, V), the next frame token, at all positions but the last token of a frame.
        reward: (B, m, 3), the sign of the reward, at actions.
        end: (B, m, 2), whether the episode ends, at actions.
    """

    obs: Tensor
    reward: Tensor
    end: Tensor


class Embedder(nn.Module):
    """Embeddings of actions (table 0) and of frame tokens (table 1)."""

    def __init__(self, num_actions: int, vocab_size: int, width: int) -> None:
        super().__init__()
        self.embedding_tables = nn.ModuleList(
            (nn.Embedding(num_actions, width), nn.Embedding(vocab_size, width))
        )

    def forward(self, tokens: Tensor, is_action: Tensor) -> Tensor:
        """Embed tokens (B, T); ``is_action`` (T,) bool, on the CPU, says which are actions. Returns (B, T, D)."""
        actions, frames = cast(Iterable[nn.Embedding], self.embedding_tables)
        embedded = frames.weight.new_empty(*tokens.shape, frames.embedding_dim)
        embedded[:, is_action] = actions(tokens[:, is_action])
        embedded[:, ~is_action] = frames(tokens[:, ~is_action])
        return embedded


class Head(nn.Module):
    """Two layers that turn the transformer's output at one position into logits."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.head_module = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """(B, n, D) -> (B, n, classes)."""
        return self.head_module(x)


class Dynamics(nn.Module):
    """Predicts tokens, rewards and ends from tokens and actions (paper section 2.2)."""

    def __init__(
        self, config: DynamicsConfig, tokens_per_frame: int, vocab_size: int, num_actions: int
    ) -> None:
        super().__init__()
        self.config = config
        self.tokens_per_frame = tokens_per_frame
        width = config.transformer.embed_dim
        self.embedder = Embedder(num_actions, vocab_size, width)
        self.pos_emb = nn.Embedding(self.max_length, width)
        self.transformer = Transformer(config.transformer)
        self.head_observations = Head(width, vocab_size)
        self.head_rewards = Head(width, NUM_REWARDS)
        self.head_ends = Head(width, 2)
        self.apply(_init)

    @property
    def block_length(self) -> int:
        """Number of positions of a step: the tokens of a frame, and an action."""
        return self.tokens_per_frame + 1

    @property
    def max_length(self) -> int:
        """The largest number of positions."""
        return self.config.max_blocks * self.block_length

    def empty_cache(self, batch_size: int) -> Cache:
        """A cache for ``batch_size`` dreams."""
        return self.transformer.empty_cache(batch_size, self.max_length)

    def forward(self, tokens: Tensor, generator: Generator | None = None) -> Logits:
        """Logits for whole sequences that begin with a frame, (B, T) int64; with a generator, as in training."""
        kind = torch.arange(tokens.shape[1]) % self.block_length
        x = self.embedder(tokens, kind == self.tokens_per_frame) + self.pos_emb.weight[: tokens.shape[1]]
        return self.heads(self.transformer(x, generator), kind)

    def extend(self, tokens: Tensor, kind: int, cache: Cache) -> tuple[Logits, Cache]:
        """Logits for tokens (B, T) that follow those of a cache, and the longer cache.

        Args:
            tokens: the tokens.
            kind: place of the first of them in its block, the same in all sequences: 0 for the first token of a frame,
                up to ``tokens_per_frame`` for an action.
            cache: keys and values of the positions before, at most :attr:`max_length` - T.
        """
        kinds = (kind + torch.arange(tokens.shape[1])) % self.block_length
        x = self.embedder(tokens, kinds == self.tokens_per_frame)
        x, cache = self.transformer.extend(x + self.pos_emb(cache.places(tokens.shape[1])), cache)
        return self.heads(x, kinds), cache

    def heads(self, x: Tensor, kind: Tensor) -> Logits:
        """Apply the heads to the transformer's output (B, T, D), where they have something to say.

        Args:
            x: the output.
            kind: (T,) int64, the place of each position in its block; on the CPU, so that no device is waited for.
        """
        at_action = x[:, kind == self.tokens_per_frame]
        return Logits(
            self.head_observations(x[:, kind != self.tokens_per_frame - 1]),
            self.head_rewards(at_action),
            self.head_ends(at_action),
        )

    def loss(
        self,
        tokens: Tensor,
        action: Tensor,
        reward: Tensor,
        end: Tensor,
        mask: Tensor,
        generator: Generator | None = None,
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Cross-entropies of the next tokens, the rewards and the ends (paper section 2.2).

        Args:
            tokens: (B, T, K) int64, the tokens of T frames. Padding is to the right.
            action: (B, T) int64, the action in each of them.
            reward: (B, T), of which the sign is learnt.
            end: (B, T) bool, whether the episode ended with this action.
            mask: (B, T) bool, true for real steps.
            generator: source of dropout; None drops nothing.

        Returns:
            The loss, and metrics.
        """
        sequence = torch.cat((tokens, action[..., None]), dim=2).flatten(1)  # (B, T (K + 1))
        logits = self(sequence, generator)
        labels = tokens.masked_fill(~mask[..., None], IGNORED).flatten(1)[:, 1:]  # (B, T K - 1)
        terms = {
            "loss_obs": _cross_entropy(logits.obs[:, :-1], labels),
            "loss_reward": _cross_entropy(
                logits.reward, (reward.sign().long() + 1).masked_fill(~mask, IGNORED)
            ),
            "loss_end": _cross_entropy(logits.end, end.long().masked_fill(~mask, IGNORED)),
        }
        loss = torch.stack(list(terms.values())).sum()
        return loss, {"loss": loss.detach(), **{name: term.detach() for name, term in terms.items()}}


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over the labels (B, n) that are not ``IGNORED`` of logits (B, n, classes)."""
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)


def _init(module: nn.Module) -> None:
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=INIT_STD)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
