"""A causal transformer with a cache of keys and values, so that a dream computes every position once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from adamas.core.checks import check_minima, check_range
from adamas.core.errors import UserError
from adamas.nn.blocks import dropout


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Sizes of the transformer."""

    num_layers: int = 10
    """Number of layers, at least 1."""
    num_heads: int = 4
    """Number of attention heads; it must divide embed_dim."""
    embed_dim: int = 256
    """Number of values at each position, D."""
    dropout: float = 0.1
    """Probability of dropping a value of an embedding, of an attention weight or of a layer's output while training,
    from 0 (none) to below 1."""

    def __post_init__(self) -> None:
        check_minima("transformer.", self, num_layers=1, num_heads=1, embed_dim=1)
        check_range("transformer.dropout", self.dropout, least=0, below=1)
        if self.embed_dim % self.num_heads:
            raise UserError(
                f"`transformer.embed_dim` is {self.embed_dim}, which {self.num_heads} heads cannot share equally; use "
                "a multiple of `transformer.num_heads`"
            )


class Cache:
    """Keys and values of the positions that were computed, of B sequences and all layers.

    Sequences may have different lengths. New positions are written behind those that are filled. A cache that is
    continued in two ways must be copied first, or the second continuation overwrites the first.

    Attributes:
        keys: (B, layers, heads, P, D / heads), where P is the largest number of positions.
        values: the same.
        length: (B,) int64, the number of positions that are filled.
        longest: the largest of these numbers, known without waiting for the device.
    """

    def __init__(self, keys: Tensor, values: Tensor, length: Tensor, longest: int) -> None:
        self.keys = keys
        self.values = values
        self.length = length
        self.longest = longest

    def places(self, count: int) -> Tensor:
        """The positions of ``count`` new tokens: (B, count) int64."""
        return self.length[:, None] + torch.arange(count, device=self.length.device)

    def extend(self, layer: int, key: Tensor, value: Tensor, places: Tensor) -> None:
        """Write the keys and values of T new positions, (B, heads, T, D / heads) each, at ``places`` (B, T)."""
        index = places[:, None, :, None].expand_as(key)
        self.keys[:, layer].scatter_(2, index, key)
        self.values[:, layer].scatter_(2, index, value)


class SelfAttention(nn.Module):
    """Multi-head self-attention in which a position sees itself and those before it."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.num_heads, self.dropout = config.num_heads, config.dropout
        self.key = nn.Linear(config.embed_dim, config.embed_dim)
        self.query = nn.Linear(config.embed_dim, config.embed_dim)
        self.value = nn.Linear(config.embed_dim, config.embed_dim)
        self.proj = nn.Linear(config.embed_dim, config.embed_dim)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values (B, heads, T, D / heads) of (B, T, D)."""
        query, key, value = (
            part(x).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        return query, key, value

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, visible: Tensor, generator: Generator | None = None
    ) -> Tensor:
        """Mix values by attention.

        Args:
            query: (B, heads, T, D / heads).
            key: (B, heads, S, D / heads).
            value: (B, heads, S, D / heads).
            visible: (T, S) or (B, 1, T, S) bool, which positions each of the T sees.
            generator: source of dropout; None drops nothing.

        Returns:
            (B, T, D).
        """
        if generator is None:
            found = F.scaled_dot_product_attention(query, key, value, attn_mask=visible)
        else:
            scores = (query @ key.mT) / math.sqrt(query.shape[-1])
            weights = scores.masked_fill(~visible, -math.inf).softmax(dim=-1)
            found = dropout(weights, self.dropout, generator) @ value
        return dropout(self.proj(found.transpose(1, 2).flatten(2)), self.dropout, generator)


class Layer(nn.Module):
    """Attention, then a small network at every position, each added to its input (pre-norm)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width = config.embed_dim
        self.dropout = config.dropout
        self.ln1 = nn.LayerNorm(width)
        self.attn = SelfAttention(config)
        self.ln2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, generator: Generator | None) -> Tensor:
        """(B, T, D) -> (B, T, D), a whole sequence at once."""
        query, key, value = self.attn.project(self.ln1(x))
        length = x.shape[1]
        visible = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
        x = x + self.attn.attend(query, key, value, visible, generator)
        return x + dropout(self.mlp(self.ln2(x)), self.dropout, generator)

    def extend(self, x: Tensor, cache: Cache, number: int, places: Tensor, end: int) -> Tensor:
        """(B, T, D) -> (B, T, D), the positions ``places`` (B, T) behind those of a cache.

        Args:
            x: the new positions.
            cache: written by this layer, which is number ``number``.
            number: number of this layer.
            places: positions of ``x``.
            end: one more than the largest of them.
        """
        query, key, value = self.attn.project(self.ln1(x))
        cache.extend(number, key, value, places)
        seen = torch.arange(end, device=x.device) <= places[:, None, :, None]  # (B, 1, T, end)
        x = x + self.attn.attend(
            query, cache.keys[:, number, :, :end], cache.values[:, number, :, :end], seen
        )
        return x + self.mlp(self.ln2(x))


class Transformer(nn.Module):
    """A stack of layers over embedded tokens."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList(Layer(config) for _ in range(config.num_layers))
        self.ln_f = nn.LayerNorm(config.embed_dim)

    def empty_cache(self, batch_size: int, max_length: int) -> Cache:
        """A cache for ``batch_size`` sequences of at most ``max_length`` positions."""
        config = self.config
        width = config.embed_dim // config.num_heads
        keys = self.ln_f.weight.new_zeros(batch_size, config.num_layers, config.num_heads, max_length, width)
        length = torch.zeros(batch_size, dtype=torch.int64, device=keys.device)
        return Cache(keys, keys.clone(), length, longest=0)

    def forward(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """(B, T, D) -> (B, T, D), whole sequences. With a generator, values are dropped as in training."""
        x = dropout(x, self.config.dropout, generator)
        for layer in self.blocks:
            x = layer(x, generator)
        return self.ln_f(x)

    def extend(self, x: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """(B, T, D), which follow the positions of a cache, to (B, T, D) and the longer cache.

        Both caches share their memory: the new positions are written behind the old ones.
        """
        count = x.shape[1]
        places, end = cache.places(count), cache.longest + count
        for number, layer in enumerate(self.blocks):
            x = cast(Layer, layer).extend(x, cache, number, places, end)
        return self.ln_f(x), Cache(cache.keys, cache.values, cache.length + count, end)
