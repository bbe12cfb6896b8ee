"""Inference of an agent's configuration from the names and shapes of its tensors, and what files do not contain."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor

from adamas.agent import AgentConfig
from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.diffusion.edm import EdmConfig
from adamas.diffusion.samplers import SamplerConfig
from adamas.nn.unet import FrameNetworkConfig
from adamas.rl.actor_critic import ActorCriticConfig
from adamas.world_models.diamond.reward_end import RewardEndConfig
from adamas.world_models.diamond.world import DiamondConfig

Tensors = Mapping[str, Tensor]

PREFIXES = {
    "denoiser.": "world_model.denoiser.",
    "rew_end_model.": "world_model.reward_end.",
    "actor_critic.": "actor_critic.",
}
"""Published prefix -> prefix in the state dict of an :class:`~adamas.agent.Agent`."""

PUBLISHED_SAMPLER = SamplerConfig(
    num_steps=3,
    method="euler",
    sigma_min=2e-3,
    sigma_max=5.0,
    rho=7.0,
    s_churn=0.0,
    s_tmin=0.0,
    s_tmax=1e6,
    s_noise=1.0,
    scale_initial_noise=False,
    s_cond=0.0,
)
"""The sampler of the published world models of Atari games."""

MAX_SIDE = 2**14  # largest plausible height and width of a frame, in pixels

ACTIONS = "inner_model.act_emb.0.weight"
"""Name of the denoiser's embedding of actions, (A, features)."""


def infer_config(tensors: Tensors, source: str) -> AgentConfig:
    """Infer the configuration of an agent from ``tensors``, named as in its state dict.

    Frames are assumed to be square. If several sizes fit the weights, the largest is chosen, which usually is the one
    that each level of the reward/end model halves exactly.

    Raises:
        UserError: if the tensors are not those of an agent.
    """
    parts = [with_prefix(tensors, prefix) for prefix in PREFIXES.values()]
    with must_hold("an agent", source):
        network, img_channels = infer_network(parts[0])
        num_actions, _ = parts[0][ACTIONS].shape
        reward_end, sizes = _infer_reward_end(parts[1])
        actor_critic, size = _infer_actor_critic(parts[2], sizes)
        world_model = _of_atari(network, reward_end)
    actions = ActionSpec.numbered(num_actions)
    return AgentConfig(
        obs_shape=(img_channels, size, size),
        actions=actions,
        world_model=world_model,
        actor_critic=actor_critic,
    )


@contextmanager
def must_hold(what: str, source: str) -> Iterator[None]:
    """Raise UserError if sizes cannot be inferred in the block, because its tensors are not those of ``what``.

    Args:
        what: what the tensors should be those of, such as "an agent".
        source: name of the file, for error messages.
    """
    try:
        yield
    except KeyError as error:
        raise UserError(
            f"{source} does not hold {what}: no tensor is named {error}; get the file again"
        ) from error
    except (ValueError, TypeError, IndexError, ZeroDivisionError, UserError) as error:
        raise UserError(
            f"{source} does not hold {what}: its shapes do not fit together ({error}); get the file again"
        ) from error


def _of_atari(network: FrameNetworkConfig, reward_end: RewardEndConfig) -> DiamondConfig:
    """Configure a world model with the published noise, targets and sampler for Atari, which files do not contain."""
    return DiamondConfig(
        denoiser=published_edm(network, sigma_offset=0.3, log_sigma_mean=-0.4, num_autoregressive_steps=1),
        reward_end=reward_end,
        sampler=PUBLISHED_SAMPLER,
    )


def published_edm(
    network: FrameNetworkConfig,
    *,
    sigma_offset: float,
    log_sigma_mean: float,
    num_autoregressive_steps: int,
    noise_previous_obs: bool = False,
) -> EdmConfig:
    """Configure a denoiser with the noise and the targets that all published models share, and its own of the others.

    The arguments are fields of :class:`~adamas.diffusion.edm.EdmConfig`.
    """
    return EdmConfig(
        network=network,
        sigma_offset=sigma_offset,
        sigma_data=0.5,
        sigma_change=None,
        log_sigma_mean=log_sigma_mean,
        log_sigma_std=1.2,
        sigma_min=2e-3,
        sigma_max=20.0,
        num_autoregressive_steps=num_autoregressive_steps,
        quantise=True,
        final_frames=True,  # differs from the published code: see docs/departures.md
        noise_previous_obs=noise_previous_obs,
    )


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


def with_prefix(tensors: Tensors, prefix: str) -> Tensors:
    """Select the tensors whose names start with ``prefix``, and remove it from their names."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
