"""Checkpoints of DIAMOND's published code: what their tensors say about the agent, and what these are called there.

Such a file is a flat state dict. Its tensors have the same names as here, except for the prefixes. There are two kinds
of file. That of an Atari game holds a complete agent: denoiser, reward/end model and actor-critic. That of CS:GO holds
a world model of two stages: a denoiser of small frames, and an upsampler. There rewards are 0, episodes do not end, and
the agent has no policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.data.importing.csgo import CSGO_BUTTONS
from adamas.diffusion.denoiser import FrameDiffusionConfig
from adamas.diffusion.edm import EdmConfig
from adamas.rl.actor_critic import ActorCriticConfig
from adamas.world_models.base import IncompleteError, Published, WorldModelConfig
from adamas.world_models.diamond.published_numbers import (
    ATARI_SAMPLER,
    CSGO_SAMPLER,
    atari_denoiser,
    csgo_denoiser,
    csgo_upsampler,
)
from adamas.world_models.diamond.published_sizes import ACTIONS, infer_agent, infer_network
from adamas.world_models.tensor_names import Tensors, rename, with_prefix

HUB_GAMES = {"eloialonso/diamond": "atari_100k/models/{}.pt"}
"""The authors' repository on the hub, and its file of a game of Atari 100k."""

PREFIXES = {
    "denoiser.": "world_model.denoiser.",
    "rew_end_model.": "world_model.reward_end.",
    "actor_critic.": "actor_critic.",
}
"""Prefixes in the file of an Atari game -> prefixes in the state dict of an agent."""
STAGES = {"denoiser.": "world_model.denoiser.", "upsampler.": "world_model.upsampler."}
"""The same for the file of CS:GO."""
OWN = ("denoiser.", "rew_end_model.", "actor_critic.encoder.")
"""Prefixes in the file of an Atari game that no other format has."""

OBS_SHAPE = (3, 150, 280)
"""Shape of a frame in the public recordings of CS:GO (Pearce and Zhu 2021), which the file does not contain."""


def published(tensors: Tensors, make: Callable[..., WorldModelConfig]) -> Published | None:
    """Infer the configuration of an agent from the published tensors, and rename them; None if they are others.

    The file contains neither the names of actions, nor noise levels, training targets and samplers. The latter get the
    published values.

    Args:
        tensors: the content of a file.
        make: makes the configuration of the world model of those of its parts.

    Raises:
        IncompleteError: all tensors of a part are missing.
        KeyError: a tensor is missing.
        ValueError: shapes do not fit together, or another error of arithmetic or indexing.
        UserError: sizes are not possible.
    """
    if any(name.startswith("upsampler.") for name in tensors):
        return _two_stages(tensors, make)
    if any(name.startswith(OWN) for name in tensors):
        return _atari(tensors, make)
    return None


def _atari(tensors: Tensors, make: Callable[..., WorldModelConfig]) -> Published:
    """The agent of an Atari game. The names of its actions are "0", "1", ..."""
    absent = [prefix for prefix in PREFIXES if not any(name.startswith(prefix) for name in tensors)]
    if absent:
        raise IncompleteError(
            f"has no tensors named {', '.join(f'{prefix}*' for prefix in absent)}: it is not a complete agent "
            "(denoiser, reward/end model, actor-critic); choose the checkpoint of an Atari game"
        )
    sizes = infer_agent(*(with_prefix(tensors, prefix) for prefix in PREFIXES))
    world_model = make(
        denoiser=atari_denoiser(sizes.network),
        reward_end=sizes.reward_end,
        sampler=ATARI_SAMPLER,
        upsampler=None,
    )
    return Published(
        obs_shape=sizes.obs_shape,
        actions=ActionSpec.numbered(sizes.num_actions),
        world_model=world_model,
        actor_critic=sizes.actor_critic,
        tensors=_renamed(tensors, PREFIXES),
    )


def _two_stages(tensors: Tensors, make: Callable[..., WorldModelConfig]) -> Published:
    """The world model of CS:GO, or another one like it.

    Its actions are buttons, several of which can be pressed at once. Their names are those of CS:GO if the number of
    buttons is, and "0", "1", ... otherwise.
    """
    first, second = (with_prefix(tensors, prefix) for prefix in STAGES)
    world_model = make(
        denoiser=csgo_denoiser(infer_network(first)[0]),
        reward_end=None,
        sampler=CSGO_SAMPLER,
        upsampler=csgo_upsampler(infer_network(second, extra_frames=1)[0]),
    )
    num_buttons = len(first[ACTIONS])
    numbered = tuple(str(i) for i in range(num_buttons))
    return Published(
        obs_shape=OBS_SHAPE,
        actions=ActionSpec(buttons=CSGO_BUTTONS if num_buttons == len(CSGO_BUTTONS) else numbered),
        world_model=world_model,
        actor_critic=None,
        tensors=_renamed(tensors, STAGES),
    )


def to_published(agent: Published, denoiser: FrameDiffusionConfig) -> dict[str, Tensor]:
    """Give the weights of an agent the names that they have in the file of an Atari game.

    Args:
        agent: the agent.
        denoiser: the configuration of its denoiser.

    Raises:
        UserError: the published code cannot represent the agent, or the size of a frame cannot be inferred from the
            weights.
    """
    tensors = _renamed(agent.tensors, {ours: theirs for theirs, ours in PREFIXES.items()})
    parts = {name.partition(".")[0] for name in tensors}
    known_network = (
        isinstance(denoiser, EdmConfig) and denoiser.network.context == "frames" and not denoiser.sigma_change
    )
    known_policy = isinstance(agent.actor_critic, ActorCriticConfig | None)
    if not known_network or not known_policy or parts - {"actor_critic"} != {"denoiser", "rew_end_model"}:
        raise UserError(
            "the published format is for EDM denoisers of one stage on stacked frames, without sigma_change, and a "
            "reward/end model; keep the checkpoint folder instead"
        )
    if agent.actor_critic is None:
        raise UserError(
            "this agent has no policy: the published format is for agents that have one; choose an agent that learnt "
            "in a game, or keep the checkpoint folder"
        )
    if not agent.actions.is_discrete:
        raise UserError(
            "the published format is for one choice among several actions, and this agent has "
            f"{agent.actions}; keep the checkpoint folder instead"
        )
    _, height, width = shape = agent.obs_shape
    if height != width or infer_agent(*(with_prefix(tensors, p) for p in PREFIXES)).obs_shape != shape:
        raise UserError(
            f"the published format cannot represent frames of {height}x{width}: they must be squares that each "
            "level of the reward/end model halves exactly; keep the checkpoint folder instead"
        )
    return tensors


def _renamed(tensors: Tensors, prefixes: Mapping[str, str]) -> dict[str, Tensor]:
    return {rename(name, prefixes): tensor for name, tensor in tensors.items()}
