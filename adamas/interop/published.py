"""Checkpoints in the format that DIAMOND was published in.

Such a file is one flat state dict, written by ``torch.save``. Its tensors have the names that they have here,
but for the prefixes. It holds weights and nothing else, so that everything about the agent has to be read off
the names and shapes of its tensors.
"""

from __future__ import annotations

import io
import itertools
import math
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from adamas.agent import Agent, AgentConfig
from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.core.files import creating
from adamas.diffusion.denoiser import DenoiserConfig
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

ACTIONS = "inner_model.act_emb.0.weight"
"""The denoiser's embedding of actions, (A, values of each)."""


def published_agent(tensors: Tensors, source: str) -> Agent:
    """The agent that a published file of an Atari game holds, on the CPU and in evaluation mode.

    The file records neither the names of the actions (they become "0", "1", ...) nor noise levels and sampler
    (they take the paper's values, the defaults here).

    Args:
        tensors: what the file holds.
        source: its name, for error messages.

    Raises:
        UserError: it is something else, or only a part of an agent.
    """
    absent = [prefix for prefix in PREFIXES if not any(name.startswith(prefix) for name in tensors)]
    if absent:
        raise UserError(
            f"{source} has no tensors named {', '.join(f'{prefix}*' for prefix in absent)}: it is not a whole "
            "agent (denoiser, reward/end model, actor-critic); choose the checkpoint of an Atari game"
        )
    renamed = {_rename(name, PREFIXES): tensor for name, tensor in tensors.items()}
    return build(infer_config(renamed, source), renamed, source)


def save_published(agent: Agent, path: Path | str) -> None:
    """Write the weights of ``agent`` to a new file in the published format.

    Raises:
        UserError: the file exists or cannot be written, the denoiser is not EDM's, or the weights do not tell the
            size of a frame.
    """
    path, state, world_model = Path(path), agent.state_dict(), agent.config.world_model
    denoiser = world_model.denoiser
    plain = denoiser.diffusion == "edm" and denoiser.network.context == "frames" and not denoiser.sigma_change
    if not plain or world_model.upsampler or not world_model.reward_end:
        raise UserError(
            "the published format is for EDM denoisers of one stage on stacked frames, without sigma_change, and a "
            "reward/end model; keep the checkpoint folder instead"
        )
    shape = agent.config.obs_shape
    if shape[1] != shape[2] or infer_config(state, "the agent").obs_shape != shape:
        raise UserError(
            f"the published format cannot tell that frames are {shape[1]}x{shape[2]}: it is for squares "
            "whose side each level of the reward/end model halves exactly; keep the checkpoint folder instead"
        )
    back = {ours: published for published, ours in PREFIXES.items()}
    tensors = {_rename(name, back): tensor.cpu().contiguous() for name, tensor in state.items()}
    content = io.BytesIO()  # where the disk is full, torch.save() itself raises no OSError
    torch.save(tensors, content)
    try:
        with creating(path) as temporary:
            temporary.write_bytes(content.getbuffer())
    except FileExistsError as error:
        raise UserError(f"{path} exists and is not overwritten; choose another name") from error
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror}; check the folder and its free space"
        ) from error


def build(config: AgentConfig, tensors: Tensors, source: str) -> Agent:
    """An agent with the given tensors as weights, in evaluation mode. Leaves the random state alone.

    Args:
        config: what to build.
        tensors: named as in the agent's state dict.
        source: where they come from, for error messages.

    Raises:
        UserError: tensors are missing, superfluous, or of another shape or type than ``config`` says.
    """
    with torch.random.fork_rng(devices=[]):  # the initial weights are random, but not for long
        agent = Agent(config)
    load_weights(agent, tensors, source, "an agent")
    return agent.eval()


def load_weights(module: nn.Module, tensors: Tensors, source: str, what: str) -> None:
    """Put ``tensors`` in the place of a module's weights.

    Args:
        module: what to fill.
        tensors: named as in the module's state dict.
        source: where they come from, for error messages.
        what: the module is, for error messages.

    Raises:
        UserError: tensors are missing, superfluous, or of another shape or type than the module's.
    """
    expected = module.state_dict()
    problems = [f"{name} is missing" for name in expected if name not in tensors]
    problems += [f"{name} is unexpected" for name in tensors if name not in expected]
    problems += [
        f"{name} is {tuple(tensors[name].shape)} {tensors[name].dtype} instead of {tuple(t.shape)} {t.dtype}"
        for name, t in expected.items()
        if name in tensors and (tensors[name].shape, tensors[name].dtype) != (t.shape, t.dtype)
    ]
    if problems:
        more = f" (and {len(problems) - 1} more like it)" if len(problems) > 1 else ""
        raise UserError(f"{source} does not hold {what}: {problems[0]}{more}; get the file again")
    module.load_state_dict(tensors)


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
        world_model = DiamondConfig(DenoiserConfig(network), reward_end)
    except KeyError as error:
        raise UserError(
            f"{source} does not hold an agent: no tensor is named {error}; get the file again"
        ) from error
    except (ValueError, IndexError, ZeroDivisionError, UserError) as error:
        raise UserError(
            f"{source} does not hold an agent: its shapes do not fit together ({error}); get the file again"
        ) from error
    actions = ActionSpec.numbered(num_actions)
    return AgentConfig((img_channels, size, size), actions, world_model, actor_critic)


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


def _rename(name: str, prefixes: Mapping[str, str]) -> str:
    for old, new in prefixes.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def read_tensors(path: Path) -> dict[str, Tensor]:
    """What a published file holds; UserError if it cannot be read or is none. Executes no code from the file."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; check the path") from error
    except Exception as error:  # arbitrary bytes make an unpickler raise almost anything
        raise UserError(
            f"{path} is not a published checkpoint (a state dict, *.pt); choose such a file"
        ) from error
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in content.items()
    ):
        raise UserError(f"{path} is not a published checkpoint (a flat state dict); choose such a file")
    return content
