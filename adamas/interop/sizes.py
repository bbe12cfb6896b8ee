"""Sizes of an agent, read off the names and shapes of its tensors."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping

from torch import Tensor

from adamas.agent import AgentConfig
from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.diffusion.denoiser import DenoiserConfig
from adamas.diffusion.samplers import SamplerConfig
from adamas.nn.unet import FrameNetworkConfig
from adamas.rl.actor_critic import ActorCriticConfig
from adamas.world_models.diamond import DiamondConfig
from adamas.world_models.reward_end import RewardEndConfig

Tensors = Mapping[str, Tensor]

PREFIXES = {
    "denoiser.": "world_model.denoiser.",
    "rew_end_model.": "world_model.reward_end.",
    "actor_critic.": "actor_critic.",
}
"""Published prefix -> prefix in the state dict of an :class:`~adamas.agent.Agent`."""

MAX_SIDE = 2**14  # pixels of a frame; an agent for larger ones fits into no machine

ACTIONS = "inner_model.act_emb.0.weight"
"""The denoiser's embedding of actions, (A, values of each)."""


def infer_config(tensors: Tensors, source: str) -> AgentConfig:
    """Sizes and number of actions of the agent that ``tensors``, named as in its state dict, belong to.

    Frames are taken to be square. Where several sizes fit the weights, the largest is meant: as a rule the
    one that each level of the reward/end model halves exactly.

    Raises:
        UserError: the tensors are not those of an agent.
    """
    parts = [with_prefix(tensors, prefix) for prefix in PREFIXES.values()]
    try:
        network, img_channels = infer_network(parts[0])
        num_actions, _ = parts[0][ACTIONS].shape
        reward_end, sizes = _infer_reward_end(parts[1])
        actor_critic, size = _infer_actor_critic(parts[2], sizes)
        world_model = _of_atari(network, reward_end)
    except KeyError as error:
        raise UserError(
            f"{source} does not hold an agent: no tensor is named {error}; get the file again"
        ) from error
    except (ValueError, TypeError, IndexError, ZeroDivisionError, UserError) as error:
        raise UserError(
            f"{source} does not hold an agent: its shapes do not fit together ({error}); get the file again"
        ) from error
    actions = ActionSpec.numbered(num_actions)
    return AgentConfig((img_channels, size, size), actions, world_model, actor_critic)


def _of_atari(network: FrameNetworkConfig, reward_end: RewardEndConfig) -> DiamondConfig:
    """The world model with the published noise, targets and sampler of Atari games, which files do not record."""
    denoiser = DenoiserConfig(
        network,
        sigma_offset=0.3,
        sigma_data=0.5,
        log_sigma_mean=-0.4,
        log_sigma_std=1.2,
        sigma_min=2e-3,
        sigma_max=20.0,
        num_autoregressive_steps=1,
    )
    return DiamondConfig(
        denoiser, reward_end, SamplerConfig(3, order=1, sigma_min=2e-3, sigma_max=5.0, rho=7.0)
    )


def infer_network(tensors: Tensors, extra_frames: int = 0) -> tuple[FrameNetworkConfig, int]:
    """The network of a denoiser or an upsampler, and the channels of a frame; KeyError or ValueError if it is none."""
    img_channels = len(tensors["inner_model.conv_out.weight"])
    cond_channels = len(tensors["inner_model.cond_proj.0.weight"])
    length = tensors["inner_model.conv_in.weight"].shape[1] // img_channels - 1 - extra_frames
    levels = _levels(tensors, "inner_model.unet.d_blocks")
    noise_cond = "inner_model.noise_cond_emb.weight" in tensors
    return FrameNetworkConfig(length, cond_channels, *levels, noise_cond), img_channels


def _infer_reward_end(tensors: Tensors) -> tuple[RewardEndConfig, range]:
    """The reward/end model, and the sizes of frames that it fits, largest first."""
    depths, channels, attn_depths = _levels(tensors, "encoder.blocks")  # the last pair is not configurable
    cond_channels = tensors["act_emb.weight"].shape[1]
    width, lstm_dim = tensors["lstm.weight_ih_l0"].shape[1], tensors["lstm.weight_hh_l0"].shape[1]
    config = RewardEndConfig(lstm_dim, cond_channels, depths[:-1], channels[:-1], attn_depths[:-1])
    side, factor = _side(width, channels[-1]), 2 ** (len(config.depths) - 1)
    if factor * side > MAX_SIDE:
        raise ValueError(f"{len(depths)} levels are for frames of up to {factor * side} pixels a side")
    return config, range(factor * side, factor * (side - 1), -1)  # every level halves, rounding up


def _infer_actor_critic(tensors: Tensors, sizes: range) -> tuple[ActorCriticConfig, int]:
    """The actor-critic, and the size of the frames: the first of ``sizes`` that it fits."""
    index = _indices(tensors, r"encoder\.encoder\.(\d+)\.f\.2\.weight")
    channels = tuple(len(tensors[f"encoder.encoder.{i}.f.2.weight"]) for i in index)
    width, lstm_dim = tensors["lstm.weight_ih"].shape[1], tensors["lstm.weight_hh"].shape[1]
    side = _side(width, channels[-1])
    # A pooling layer has no weights, but takes a place in the numbering. Only after the last level does that
    # leave no trace, but there the size of the frames tells.
    down = tuple(after - before == 2 for before, after in itertools.pairwise(index))
    for size in sizes:
        for last in (True, False):
            if size // 2 ** sum((*down, last)) == side:
                return ActorCriticConfig(lstm_dim, channels, (*down, last)), size
    raise ValueError("reward/end model and actor-critic see frames of different sizes")


def _levels(tensors: Tensors, prefix: str) -> tuple[tuple[int, ...], tuple[int, ...], tuple[bool, ...]]:
    """Depth, channels and attention of each level of residual blocks."""
    depths, channels, attn = [], [], []
    for i in _indices(tensors, re.escape(prefix) + r"\.(\d+)\."):
        level = f"{prefix}.{i}.resblocks"
        depths.append(len(_indices(tensors, re.escape(level) + r"\.(\d+)\.")))
        channels.append(len(tensors[f"{level}.0.conv1.weight"]))
        attn.append(f"{level}.0.attn.qkv_proj.weight" in tensors)
    return tuple(depths), tuple(channels), tuple(attn)


def _indices(tensors: Tensors, pattern: str) -> list[int]:
    """The numbers that ``pattern`` finds at the start of the names, in order."""
    return sorted({int(match[1]) for match in map(re.compile(pattern).match, tensors) if match})


def _side(width: int, channels: int) -> int:
    """Height of the square that an LSTM with ``width`` inputs sees."""
    side = math.isqrt(width // channels)
    if channels * side**2 != width:
        raise ValueError(f"{width} inputs of an LSTM are not a square of {channels} channels")
    return side


def with_prefix(tensors: Tensors, prefix: str) -> Tensors:
    """The tensors whose names start with ``prefix``, under what follows it."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
