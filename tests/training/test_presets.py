"""Every preset computes its networks and survives a file."""

from __future__ import annotations

import pytest
import torch

from adamas.agent import Agent, AgentConfig
from adamas.core.actions import ActionSpec
from adamas.core.config import from_dict, to_dict
from adamas.core.errors import UserError
from adamas.presets import PRESETS, preset
from adamas.training.config import Config
from adamas.world_models.diamond.world import Diamond
from adamas.world_models.iris.world import IrisConfig
from tests.helpers.batches import frames_alone
from tests.helpers.tensors import seeded


def compute_diamond(model: Diamond, shape: tuple[int, int, int]) -> None:
    frames, length = torch.zeros(1, *model.config.small_shape(shape)), model.context_length
    past, action, sigma = (
        frames[:, None].expand(-1, length, -1, -1, -1),
        torch.zeros(1, length).long(),
        torch.ones(1),
    )
    network = model.denoiser.inner_model
    assert network(frames, sigma, past, action).shape == frames.shape
    if model.reward_end is not None:
        assert model.reward_end(past, action, past)[0].shape == (1, length, 3)
    if model.upsampler is not None:
        full = torch.zeros(1, *shape)
        seen = torch.zeros(1, model.upsampler.config.network.context_length + 1, *shape)
        assert model.upsampler.inner_model(full, sigma, seen, None).shape == full.shape


def compute_iris(config: IrisConfig, shape: tuple[int, int, int]) -> None:
    """With numbers, because it draws them."""
    model = config.build(shape, ActionSpec.numbered(3))
    frames = torch.zeros(1, model.context_length, *shape, dtype=torch.uint8)
    state, seen = model.start(frames_alone(frames))
    state, imagined = model.imagine(state, torch.zeros(1).long(), seeded())
    assert seen.shape == frames.shape and imagined.features.shape == (1, *shape)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_computes_its_networks(name: str) -> None:
    """On PyTorch's meta device: all shapes, no numbers."""
    config = preset(name)
    recorded = {"csgo": (3, 150, 280), "vizdoom": (3, 120, 160), "driving": (3, 96, 96)}
    recorded |= {"static": (3, 64, 64), "static-small": (3, 32, 32)}
    shape = recorded[name] if config.env is None else config.env.obs_shape
    spec = ActionSpec.numbered(3)
    with torch.device("meta"):
        agent = Agent(
            AgentConfig(
                obs_shape=shape,
                actions=spec,
                world_model=config.world_model,
                actor_critic=config.actor_critic,
            )
        )
        if isinstance(agent.world_model, Diamond):
            compute_diamond(agent.world_model, shape)
        if isinstance(config.world_model, IrisConfig):
            with torch.device("cpu"):
                compute_iris(config.world_model, shape)
        assert (agent.actor_critic is None) == (name in recorded)
        if (policy := agent.actor_critic) is not None:
            assert policy(torch.zeros(1, *shape).byte(), policy.initial_state(1)).logits.shape == (1, 3)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_a_configuration_file(name: str) -> None:
    assert from_dict(Config, to_dict(preset(name))) == preset(name)


def test_an_unknown_preset_is_told_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown preset 'atari-100k'; did you mean 'atari100k'\?"):
        preset("atari-100k")
