"""Checkpoints of IRIS's published code: what their tensors say about the agent, and what these are called here.

Such a file is a flat state dict. It holds the network of the perceptual distance and tables of masks as well, which are
left out here. Frames are assumed to be square.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

from torch import Tensor

from adamas.core.actions import ActionSpec
from adamas.rl.plain_actor_critic import PlainActorCriticConfig
from adamas.world_models.base import Published, WorldModelConfig
from adamas.world_models.iris.autoencoder import AutoencoderConfig
from adamas.world_models.iris.dynamics import DynamicsConfig
from adamas.world_models.iris.tokenizer import TokenizerConfig
from adamas.world_models.iris.transformer import TransformerConfig
from adamas.world_models.tensor_names import Tensors, rename

NUM_HEADS, NUM_GROUPS = 4, 32  # which no tensor shows
PREFIXES = {
    "tokenizer.": "world_model.tokenizer.",
    "world_model.": "world_model.dynamics.",
    "actor_critic.": "actor_critic.",
}
"""Published prefix -> prefix in the state dict of an agent."""
PERCEPTUAL = "tokenizer.lpips."
TABLES = (".mask", ".indices")
TOKENS = "tokenizer.embedding.weight"
ENCODER = "tokenizer.encoder."
ACTIONS = "world_model.embedder.embedding_tables.0.weight"


def is_published(tensors: Tensors) -> bool:
    """Whether tensors have the names of IRIS's published code."""
    return TOKENS in tensors and ACTIONS in tensors


def published(tensors: Tensors, make: Callable[..., WorldModelConfig]) -> Published:
    """Infer the configuration of an agent from the published tensors, and rename them.

    Args:
        tensors: the content of a file.
        make: makes the configuration of the world model of those of its parts.

    Raises:
        KeyError: a tensor is missing.
        ValueError: shapes do not fit together.
        UserError: sizes are not possible.
    """
    dynamics = _dynamics(tensors)
    positions = len(tensors["world_model.pos_emb.weight"])
    side = math.isqrt(positions // dynamics.max_blocks - 1)
    if dynamics.max_blocks * (side**2 + 1) != positions:
        raise ValueError(f"{positions} positions are not {dynamics.max_blocks} blocks of a square of tokens")
    autoencoder = _autoencoder(tensors, side)
    height = side * 2 ** (len(autoencoder.channels) - 1)
    vocab_size, embed_dim = tensors[TOKENS].shape
    tokenizer = TokenizerConfig(vocab_size=vocab_size, embed_dim=embed_dim, autoencoder=autoencoder)
    img_channels = tensors[f"{ENCODER}conv_in.weight"].shape[1]
    num_convolutions = _count(tensors, "actor_critic.conv{}.weight", start=1)
    policy = PlainActorCriticConfig(
        lstm_dim=tensors["actor_critic.lstm.weight_hh"].shape[1],
        channels=tuple(len(tensors[f"actor_critic.conv{i + 1}.weight"]) for i in range(num_convolutions)),
    )
    return Published(
        obs_shape=(img_channels, height, height),
        actions=ActionSpec.numbered(len(tensors[ACTIONS])),
        world_model=make(tokenizer=tokenizer, dynamics=dynamics),
        actor_critic=policy,
        tensors=dict(_renamed(tensors)),
    )


def _autoencoder(tensors: Tensors, side: int) -> AutoencoderConfig:
    """The encoder's sizes, given the height of the grid of tokens."""
    num_levels = _count(tensors, ENCODER + "down.{}.block.0.conv1.weight")
    sizes = [side * 2 ** (num_levels - 1 - level) for level in range(num_levels)]
    attends = [f"{ENCODER}down.{level}.attn.0.q.weight" in tensors for level in range(num_levels)]
    return AutoencoderConfig(
        channels=tuple(len(tensors[f"{ENCODER}down.{i}.block.0.conv1.weight"]) for i in range(num_levels)),
        num_res_blocks=_count(tensors, ENCODER + "down.0.block.{}.conv1.weight"),
        attention_sizes=tuple(sorted(itertools.compress(sizes, attends))),
        latent_channels=len(tensors[f"{ENCODER}conv_out.weight"]),
        num_groups=NUM_GROUPS,
    )


def _dynamics(tensors: Tensors) -> DynamicsConfig:
    """The transformer's sizes. The head of rewards has an index for each block."""
    transformer = TransformerConfig(
        num_layers=_count(tensors, "world_model.transformer.blocks.{}.ln1.weight"),
        num_heads=NUM_HEADS,
        embed_dim=tensors[ACTIONS].shape[1],
    )
    return DynamicsConfig(
        transformer=transformer, max_blocks=len(tensors["world_model.head_rewards.indices"])
    )


def _count(tensors: Tensors, name: str, start: int = 0) -> int:
    """How many tensors there are with consecutive numbers in their names. Raises KeyError if there is none."""
    count = next(i for i in itertools.count() if name.format(start + i) not in tensors)
    if not count:
        raise KeyError(name.format(start))
    return count


def _renamed(tensors: Tensors) -> Iterator[tuple[str, Tensor]]:
    """The weights under the names of an agent's state dict. Other names stay as they are, and are refused later."""
    for name, tensor in tensors.items():
        if name.startswith(PERCEPTUAL) or name.endswith(TABLES):
            continue
        yield rename(name, PREFIXES), tensor
