"""The published two-stage world model (CS:GO): a denoiser of small frames, and the upsampler that enlarges them.

Its file holds no reward/end model and no policy: rewards are 0, nothing ends, and buttons are pressed at random.
"""

from __future__ import annotations

import torch

from adamas.agent import Agent, AgentConfig
from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.data.importing.csgo import CSGO_BUTTONS
from adamas.diffusion.denoiser import DenoiserConfig
from adamas.diffusion.samplers import SamplerConfig
from adamas.diffusion.upsampler import UpsamplerConfig
from adamas.interop.published import check_weights, without_weights
from adamas.interop.sizes import ACTIONS, Tensors, infer_network, with_prefix
from adamas.nn.unet import FrameNetworkConfig
from adamas.rl.actor_critic import ActorCriticConfig
from adamas.world_models.diamond import DiamondConfig

OBS_SHAPE = (3, 150, 280)
"""Of the public recordings of CS:GO (Pearce and Zhu 2021); the file does not tell."""

STAND_IN = ActorCriticConfig(8, (8, 8, 8, 8))
"""Sizes of the policy that nobody trained."""


def published_stages(first: FrameNetworkConfig, second: FrameNetworkConfig) -> DiamondConfig:
    """The published noise, training targets and samplers of CS:GO, which files do not record.

    Args:
        first: the network that draws small frames.
        second: the network that draws frames five times as high and wide.
    """
    denoiser = DenoiserConfig(
        first,
        sigma_offset=0.1,
        sigma_data=0.5,
        log_sigma_mean=-1.2,
        log_sigma_std=1.2,
        sigma_min=2e-3,
        sigma_max=20.0,
        num_autoregressive_steps=4,
        noise_previous_obs=True,
    )
    upsampler = UpsamplerConfig(
        second,
        sigma_offset=0.1,
        sigma_data=0.5,
        log_sigma_mean=-1.2,
        log_sigma_std=1.2,
        sigma_min=2e-3,
        sigma_max=20.0,
        num_autoregressive_steps=1,
        factor=5,
        sampler=SamplerConfig(10, sigma_min=1.0, s_churn=10.0, s_tmin=1.0, s_tmax=5.0, s_noise=0.9),
    )
    return DiamondConfig(denoiser, None, SamplerConfig(3, s_cond=0.005), upsampler)


def is_two_stage(tensors: Tensors) -> bool:
    """Whether an upsampler is among tensors under their published names."""
    return any(name.startswith("upsampler.") for name in tensors)


def two_stage_agent(tensors: Tensors, source: str) -> Agent:
    """The world model that a published two-stage file holds, on the CPU and in evaluation mode.

    Its actions are buttons, of which several may be pressed; the file does not record their names (they become "0",
    "1", ...). Noise, training targets and samplers are those of the published model of CS:GO.

    Args:
        tensors: what the file holds.
        source: its name, for error messages.

    Raises:
        UserError: it is something else.
    """
    config = _infer(tensors, source)
    check_weights(without_weights(config, tensors, source).world_model, tensors, source, "a two-stage model")
    with torch.random.fork_rng(devices=[]):  # the world model's initial weights are not for long
        torch.manual_seed(0)
        agent = Agent(config)
    agent.world_model.load_state_dict(tensors)
    return agent.eval()


def _infer(tensors: Tensors, source: str) -> AgentConfig:
    """Sizes of both stages, and the number of buttons."""
    first, second = (with_prefix(tensors, prefix) for prefix in ("denoiser.", "upsampler."))
    try:
        world_model = published_stages(infer_network(first)[0], infer_network(second, extra_frames=1)[0])
        num_buttons = len(first[ACTIONS])
        numbered = tuple(str(i) for i in range(num_buttons))
        buttons = ActionSpec(buttons=CSGO_BUTTONS if num_buttons == len(CSGO_BUTTONS) else numbered)
    except KeyError as error:
        raise UserError(
            f"{source} does not hold a two-stage model: no tensor is named {error}; get the file again"
        ) from error
    except (ValueError, TypeError, IndexError, ZeroDivisionError, UserError) as error:
        raise UserError(
            f"{source} does not hold a two-stage model: its shapes do not fit together ({error}); get the file again"
        ) from error
    return AgentConfig(OBS_SHAPE, buttons, world_model, STAND_IN)
