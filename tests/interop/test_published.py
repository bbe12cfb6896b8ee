"""Published checkpoints: what can be read off the weights, and the way there and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Generator, Tensor

from adamas.agent import Agent, AgentConfig
from adamas.core.errors import UserError
from adamas.diffusion.denoiser import sample
from adamas.diffusion.edm import EdmConfig
from adamas.diffusion.samplers import SamplerConfig
from adamas.interop.published import load_published, save_published
from adamas.nn.unet import FrameNetworkConfig
from adamas.rl.actor_critic import ActorCriticConfig
from adamas.world_models.base import Published
from adamas.world_models.diamond.reward_end import RewardEndConfig
from adamas.world_models.diamond.world import DiamondConfig

if TYPE_CHECKING:
    from tests.conftest import LoadReference
from tests.helpers.diamond import model_config
from tests.helpers.published_agent import SMALL, actions

Tensors = Mapping[str, Tensor]
CONFIGS = {
    "paper": AgentConfig(obs_shape=(3, 64, 64), actions=actions(18)),
    "small": SMALL,
    "grey, one level, last level not pooled, told of noise": AgentConfig(
        obs_shape=(1, 16, 16),
        actions=actions(4),
        world_model=DiamondConfig(
            denoiser=EdmConfig(
                network=FrameNetworkConfig(
                    context_length=1,
                    cond_channels=4,
                    depths=(1,),
                    channels=(4,),
                    attn_depths=(False,),
                    noise_cond=True,
                )
            ),
            reward_end=RewardEndConfig(
                lstm_dim=4, cond_channels=4, depths=(1,), channels=(4,), attn_depths=(True,)
            ),
        ),
        actor_critic=ActorCriticConfig(lstm_dim=4, channels=(4, 4), down=(True, False)),
    ),
    "64, no pooling at all": AgentConfig(
        obs_shape=(3, 64, 64),
        actions=actions(6),
        world_model=DiamondConfig(
            denoiser=EdmConfig(
                network=FrameNetworkConfig(
                    context_length=4,
                    cond_channels=16,
                    depths=(1, 1, 1),
                    channels=(4, 4, 4),
                    attn_depths=(False, False, True),
                )
            ),
            reward_end=RewardEndConfig(
                lstm_dim=4,
                cond_channels=4,
                depths=(1, 1, 1),
                channels=(4, 4, 4),
                attn_depths=(False, False, False),
            ),
        ),
        actor_critic=ActorCriticConfig(lstm_dim=4, channels=(2, 2), down=(False, False)),
    ),
}


def same(a: Tensors, b: Tensors) -> bool:
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("name", CONFIGS)
def test_there_and_back(name: str, tmp_path: Path) -> None:
    agent, path = Agent(CONFIGS[name]), tmp_path / "agent.pt"
    save_published(agent, path)
    loaded = load_published(path)
    assert loaded.config == CONFIGS[name]
    assert same(agent.state_dict(), loaded.state_dict())
    assert not loaded.training
    save_published(loaded, tmp_path / "again.pt")
    first, second = (torch.load(tmp_path / n, weights_only=True) for n in ("agent.pt", "again.pt"))
    assert same(first, second)
    assert {key.split(".")[0] for key in first} == {"denoiser", "rew_end_model", "actor_critic"}


def test_the_loaded_agent_does_what_the_saved_one_does(small: Agent, tmp_path: Path) -> None:
    save_published(small, tmp_path / "agent.pt")
    loaded = load_published(tmp_path / "agent.pt")
    obs = torch.randint(256, (2, 3, 16, 16), generator=Generator().manual_seed(0)).to(torch.uint8)
    frames, action = torch.rand(2, 2, 3, 16, 16) * 2 - 1, torch.tensor([[0, 1], [2, 0]])
    noise = torch.randn(2, 3, 16, 16)

    def outputs(agent: Agent) -> list[Tensor]:
        with torch.no_grad():
            policy = agent.policy(obs, agent.policy.initial_state(2))
            reward, end, _ = agent.reward_end(frames, action, frames.flip(1))
        frame = sample(agent.denoiser, frames, action, SamplerConfig(), noise)
        return [policy.logits, policy.value, reward, end, frame]

    assert all(torch.equal(a, b) for a, b in zip(outputs(small), outputs(loaded), strict=True))


def test_a_checkpoint_made_of_recorded_parts(reference: LoadReference, tmp_path: Path) -> None:
    """Weights under the keys that the published system gave them, in its own order."""
    parts = {"denoiser": "edm_denoiser", "rew_end_model": "reward_end", "actor_critic": "actor_critic"}
    published = {
        f"{prefix}.{key}": tensor
        for prefix, name in parts.items()
        for key, tensor in reference(name).weights.items()
    }
    torch.save(published, tmp_path / "agent.pt")
    agent = load_published(tmp_path / "agent.pt")
    assert agent.config.obs_shape == (3, 16, 16) and agent.config.actions == actions(6)
    network = model_config(agent.config).denoiser.network
    assert network == FrameNetworkConfig(
        context_length=4, cond_channels=32, depths=(1, 2), channels=(16, 32), attn_depths=(False, True)
    )
    assert model_config(agent.config).reward_end == RewardEndConfig(
        lstm_dim=32, cond_channels=16, depths=(1, 2), channels=(16, 32), attn_depths=(False, False)
    )
    assert agent.config.actor_critic == ActorCriticConfig(lstm_dim=32, channels=(16, 32), down=(True, True))

    io = reference("edm_denoiser").io
    with torch.no_grad():
        frame = sample(agent.denoiser, io["obs"], io["act"], SamplerConfig(), io["sample_initial_noise"])
        off = (frame - io["sample_order1_steps3"]).abs() > 1e-4
        assert off.float().mean() <= 1e-3
        io = reference("reward_end").io
        logits, _, _ = agent.reward_end(io["obs"][:, :-1], io["act"], io["obs"][:, 1:])
    torch.testing.assert_close(logits, io["logits_reward"], atol=1e-4, rtol=1e-4)
    save_published(agent, tmp_path / "again.pt")
    again = torch.load(tmp_path / "again.pt", weights_only=True)
    assert again.keys() == published.keys()
    assert all(torch.equal(again[key], published[key]) for key in published)


def test_noise_levels_and_sampler_are_the_paper_s(small: Agent, tmp_path: Path) -> None:
    save_published(small, tmp_path / "agent.pt")
    world_model = model_config(load_published(tmp_path / "agent.pt").config)
    assert world_model.sampler == SamplerConfig(
        num_steps=3, method="euler", sigma_min=2e-3, sigma_max=5.0, rho=7
    )
    denoiser = world_model.denoiser
    assert isinstance(denoiser, EdmConfig) and (denoiser.sigma_data, denoiser.sigma_offset) == (0.5, 0.3)


def test_loading_leaves_random_numbers_alone(small: Agent, tmp_path: Path) -> None:
    save_published(small, tmp_path / "agent.pt")
    before = torch.get_rng_state()
    load_published(tmp_path / "agent.pt")
    assert torch.equal(before, torch.get_rng_state())


def test_an_existing_file_is_not_overwritten(small: Agent, tmp_path: Path) -> None:
    path = tmp_path / "agent.pt"
    path.write_text("precious")
    with pytest.raises(UserError, match=r"agent.pt exists and is not overwritten; choose another name"):
        save_published(small, path)
    assert path.read_text() == "precious"
    with pytest.raises(UserError, match=r"cannot write .*No such file or directory"):
        save_published(small, tmp_path / "nowhere" / "agent.pt")


@pytest.mark.parametrize("num_actions", [3, 4, 6, 18])
@pytest.mark.parametrize("size", [16, 64])
@pytest.mark.parametrize("down", [(True, True), (True, False), (False, True), (False, False)])
def test_sizes_follow_from_the_weights(num_actions: int, size: int, down: tuple[bool, bool]) -> None:
    policy = ActorCriticConfig(lstm_dim=4, channels=(4, 4), down=down)
    config = AgentConfig(
        obs_shape=(3, size, size),
        actions=actions(num_actions),
        world_model=SMALL.world_model,
        actor_critic=policy,
    )
    with torch.device("meta"):
        agent = Agent(config)
    published = Published(
        obs_shape=config.obs_shape,
        actions=config.actions,
        world_model=config.world_model,
        actor_critic=config.actor_critic,
        tensors=agent.state_dict(),
    )
    assert DiamondConfig.from_published(config.world_model.to_published(published)) == published
