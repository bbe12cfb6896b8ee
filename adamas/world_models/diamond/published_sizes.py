"""Inference of the sizes of published networks from the names and shapes of their tensors."""

from __future__ import annotations

import itertools
import math
import re
from typing import NamedTuple

from adamas.nn.unet import FrameNetworkConfig
from adamas.rl.actor_critic import ActorCriticConfig
from adamas.world_models.diamond.reward_end import RewardEndConfig
from adamas.world_models.tensor_names import Tensors

MAX_SIDE = 2**14  # largest plausible height and width of a frame, in pixels

ACTIONS = "inner_model.act_emb.0.weight"
"""Name of the denoiser's embedding of actions, (A, features)."""


class AgentSizes(NamedTuple):
    """What the tensors of a complete agent say.

    Attributes:
        obs_shape: (C, H, W) of a frame, where H = W.
        num_actions: A.
        network: the denoiser's network.
        reward_end: the reward/end model.
        actor_critic: the policy.
    """

    obs_shape: tuple[int, int, int]
    num_actions: int
    network: FrameNetworkConfig
    reward_end: RewardEndConfig
    actor_critic: ActorCriticConfig


def infer_agent(denoiser: Tensors, reward_end: Tensors, actor_critic: Tensors) -> AgentSizes:
    """Infer the sizes of an agent from the state dicts of its three parts.

    Frames are assumed to be square. If several sizes fit the weights, the largest is chosen, which usually is the one
    that each level of the reward/end model halves exactly.

    Raises:
        KeyError: a tensor is missing.
        ValueError: shapes do not fit together, or another error of arithmetic or indexing.
        UserError: sizes are not possible.
    """
    network, img_channels = infer_network(denoiser)
    num_actions, _ = denoiser[ACTIONS].shape
    judge, sizes = _infer_reward_end(reward_end)
    policy, size = _infer_actor_critic(actor_critic, sizes)
    return AgentSizes((img_channels, size, size), num_actions, network, judge, policy)


def infer_network(tensors: Tensors, extra_frames: int = 0) -> tuple[FrameNetworkConfig, int]:
    """Infer a denoiser's or upsampler's network, and the channels of a frame. Raises KeyError or ValueError."""
    img_channels = len(tensors["inner_model.conv_out.weight"])
    cond_channels = len(tensors["inner_model.cond_proj.0.weight"])
    length = tensors["inner_model.conv_in.weight"].shape[1] // img_channels - 1 - extra_frames
    depths, channels, attn_depths = _levels(tensors, "inner_model.unet.d_blocks")
    noise_cond = "inner_model.noise_cond_emb.weight" in tensors
    return FrameNetworkConfig(
        context_length=length,
        cond_channels=cond_channels,
        depths=depths,
        channels=channels,
        attn_depths=attn_depths,
        noise_cond=noise_cond,
    ), img_channels


def _infer_reward_end(tensors: Tensors) -> tuple[RewardEndConfig, range]:
    """Infer the reward/end model, and the sizes of frames that fit it, largest first."""
    depths, channels, attn_depths = _levels(tensors, "encoder.blocks")  # the last pair is not configurable
    cond_channels = tensors["act_emb.weight"].shape[1]
    width, lstm_dim = tensors["lstm.weight_ih_l0"].shape[1], tensors["lstm.weight_hh_l0"].shape[1]
    config = RewardEndConfig(
        lstm_dim=lstm_dim,
        cond_channels=cond_channels,
        depths=depths[:-1],
        channels=channels[:-1],
        attn_depths=attn_depths[:-1],
    )
    side, factor = _side(width, channels[-1]), 2 ** (len(config.depths) - 1)
    if factor * side > MAX_SIDE:
        raise ValueError(f"{len(depths)} levels are for frames of up to {factor * side} pixels a side")
    return config, range(factor * side, factor * (side - 1), -1)  # every level halves, rounding up


def _infer_actor_critic(tensors: Tensors, sizes: range) -> tuple[ActorCriticConfig, int]:
    """Infer the actor-critic, and the size of frames: the first of ``sizes`` that fits it."""
    index = _indices(tensors, r"encoder\.encoder\.(\d+)\.f\.2\.weight")
    channels = tuple(len(tensors[f"encoder.encoder.{i}.f.2.weight"]) for i in index)
    width, lstm_dim = tensors["lstm.weight_ih"].shape[1], tensors["lstm.weight_hh"].shape[1]
    side = _side(width, channels[-1])
    # A pooling layer has no weights, but it uses a number, so that a gap in the numbers shows it. After the last level
    # there is no gap to see. Whether that level is pooled follows from the size of the frames.
    down = tuple(after - before == 2 for before, after in itertools.pairwise(index))
    for size in sizes:
        for last in (True, False):
            if size // 2 ** sum((*down, last)) == side:
                return ActorCriticConfig(lstm_dim=lstm_dim, channels=channels, down=(*down, last)), size
    raise ValueError("reward/end model and actor-critic see frames of different sizes")


def _levels(tensors: Tensors, prefix: str) -> tuple[tuple[int, ...], tuple[int, ...], tuple[bool, ...]]:
    """Infer depth, channels and attention of each level of residual blocks."""
    depths, channels, attn = [], [], []
    for i in _indices(tensors, re.escape(prefix) + r"\.(\d+)\."):
        level = f"{prefix}.{i}.resblocks"
        depths.append(len(_indices(tensors, re.escape(level) + r"\.(\d+)\.")))
        channels.append(len(tensors[f"{level}.0.conv1.weight"]))
        attn.append(f"{level}.0.attn.qkv_proj.weight" in tensors)
    return tuple(depths), tuple(channels), tuple(attn)


def _indices(tensors: Tensors, pattern: str) -> list[int]:
    """Find the numbers that ``pattern`` captures at the start of names, in increasing order."""
    return sorted({int(match[1]) for match in map(re.compile(pattern).match, tensors) if match})


def _side(width: int, channels: int) -> int:
    """Height of the square feature map that an LSTM with ``width`` inputs reads. Raises ValueError if it is none."""
    side = math.isqrt(width // channels)
    if channels * side**2 != width:
        raise ValueError(f"{width} inputs of an LSTM are not a square of {channels} channels")
    return side
