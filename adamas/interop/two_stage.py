"""Loading of the published two-stage world model (CS:GO): a denoiser of small frames, and an upsampler.

Its file has no reward/end model and no policy. Rewards are 0, episodes do not end, and the agent has no policy.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from adamas.agent import Agent, AgentConfig
from adamas.core.actions import ActionSpec
from adamas.data.importing.csgo import CSGO_BUTTONS
from adamas.diffusion.upsampler import UpsamplerConfig
from adamas.interop.published import check_weights, without_weights
from adamas.interop.sizes import (
    ACTIONS,
    PUBLISHED_SAMPLER,
    Tensors,
    infer_network,
    must_hold,
    published_edm,
    with_prefix,
)
from adamas.nn.unet import FrameNetworkConfig
from adamas.world_models.diamond.world import DiamondConfig

OBS_SHAPE = (3, 150, 280)
"""Shape of a frame in the public recordings of CS:GO (Pearce and Zhu 2021), which the file does not contain."""


def published_stages(first: FrameNetworkConfig, second: FrameNetworkConfig) -> DiamondConfig:
    """Configure a world model with the published noise, training targets and samplers for CS:GO.

    Args:
        first: the network of the denoiser, which generates small frames.
        second: the network of the upsampler, which makes frames five times as high and wide.
    """
    denoiser = published_edm(
        first, sigma_offset=0.1, log_sigma_mean=-1.2, num_autoregressive_steps=4, noise_previous_obs=True
    )
    frame = published_edm(second, sigma_offset=0.1, log_sigma_mean=-1.2, num_autoregressive_steps=1)
    upsampler = UpsamplerConfig(
        **vars(frame),  # an upsampler is a denoiser with two fields more
        factor=5,
        sampler=replace(
            PUBLISHED_SAMPLER,
            num_steps=10,
            sigma_min=1.0,
            s_churn=10.0,
            s_tmin=1.0,
            s_tmax=5.0,
            s_noise=0.9,
        ),
    )
    sampler = replace(PUBLISHED_SAMPLER, s_cond=0.005)
    return DiamondConfig(denoiser=denoiser, reward_end=None, sampler=sampler, upsampler=upsampler)


def is_two_stage(tensors: Tensors) -> bool:
    """Whether tensors with published names contain an upsampler."""
    return any(name.startswith("upsampler.") for name in tensors)


def two_stage_agent(tensors: Tensors, source: str) -> Agent:
    """Build the world model of a published two-stage file, on the CPU and in evaluation mode.

    Its actions are buttons, several of which can be pressed at once. The file does not contain their names. They are
    those of CS:GO if the number of buttons is, and "0", "1", ... otherwise. Noise, training targets and samplers are
    those of the published model of CS:GO.

    Args:
        tensors: the content of the file.
        source: the name of the file, for error messages.

    Raises:
        UserError: if the tensors are not those of a two-stage model.
    """
    config = _infer(tensors, source)
    check_weights(without_weights(config, tensors, source).world_model, tensors, source, "a two-stage model")
    with torch.random.fork_rng(devices=[]):  # the random initial weights are replaced at once
        agent = Agent(config)
    agent.world_model.load_state_dict(tensors)
    return agent.eval()


def _infer(tensors: Tensors, source: str) -> AgentConfig:
    """Infer the sizes of both stages, and the number of buttons."""
    first, second = (with_prefix(tensors, prefix) for prefix in ("denoiser.", "upsampler."))
    with must_hold("a two-stage model", source):
        world_model = published_stages(infer_network(first)[0], infer_network(second, extra_frames=1)[0])
        num_buttons = len(first[ACTIONS])
        numbered = tuple(str(i) for i in range(num_buttons))
        buttons = ActionSpec(buttons=CSGO_BUTTONS if num_buttons == len(CSGO_BUTTONS) else numbered)
    return AgentConfig(obs_shape=OBS_SHAPE, actions=buttons, world_model=world_model, actor_critic=None)
