"""The paper's numbers, and configurations that cannot be."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from adamas.agent import Agent, AgentConfig
from adamas.core.actions import ActionSpec
from adamas.core.config import from_dict, to_dict
from adamas.core.errors import UserError
from adamas.diffusion.samplers import SamplerConfig
from adamas.envs.config import EnvConfig
from adamas.presets import PRESETS, preset
from adamas.rl.losses import ActorCriticLossConfig
from adamas.training.config import (
    CollectionConfig,
    ComponentTraining,
    Config,
    EvaluationConfig,
    PolicyTraining,
)
from adamas.training.optim import OptimizerConfig
from adamas.world_models.diamond import Diamond


def test_atari100k_world_model_is_the_papers() -> None:
    model = preset("atari100k").world_model
    network = model.denoiser.network
    assert (network.context_length, network.cond_channels) == (4, 256)
    assert (network.depths, network.channels) == ((2, 2, 2, 2), (64, 64, 64, 64))
    assert network.attn_depths == (False, False, False, False)  # the middle always has attention
    assert (model.denoiser.sigma_data, model.denoiser.sigma_offset) == (0.5, 0.3)
    assert model.denoiser.num_autoregressive_steps == 1
    assert model.denoiser.segment_length == 4 + 1 + 1  # context, next frame, one more target
    assert (model.reward_end.lstm_dim, model.reward_end.cond_channels) == (512, 128)
    assert (model.reward_end.depths, model.reward_end.channels) == ((2, 2, 2, 2), (32, 32, 32, 32))
    assert model.reward_end.attn_depths == (False, False, False, False)
    assert model.reward_end.segment_length == 19
    assert model.sampler == SamplerConfig(num_steps=3, order=1)


def test_atari100k_training_is_the_papers() -> None:
    config = preset("atari100k")
    shared = {"lr": 1e-4, "eps": 1e-8, "warmup_updates": 100}
    assert config.denoiser == ComponentTraining(
        OptimizerConfig(**shared, weight_decay=1e-2, max_grad_norm=1.0),  # type: ignore[arg-type]
        batch_size=32,
        first_epoch_updates=10_000,
        updates_per_epoch=400,
        average_decay=0.0,
    )
    assert config.reward_end == ComponentTraining(
        OptimizerConfig(**shared, weight_decay=1e-2, max_grad_norm=100.0),  # type: ignore[arg-type]
        batch_size=32,
        first_epoch_updates=10_000,
        updates_per_epoch=400,
        average_decay=0.0,
    )
    assert config.policy == PolicyTraining(
        OptimizerConfig(**shared, weight_decay=0.0, max_grad_norm=100.0),  # type: ignore[arg-type]
        ActorCriticLossConfig(gamma=0.985, lambda_=0.95, entropy_weight=0.001, value_weight=1.0),
        num_dreams=32,
        steps_per_update=15,
        horizon=15,
        first_epoch_updates=5_000,
        updates_per_epoch=400,
    )
    network = config.actor_critic
    assert (network.lstm_dim, network.channels, network.down) == (512, (32, 32, 64, 64), (True,) * 4)


def test_atari100k_protocol_is_the_papers() -> None:
    config = preset("atari100k")
    assert (config.env.suite, config.env.size, config.env.frame_skip) == ("atari", 64, 4)
    assert config.collection == CollectionConfig(
        num_envs=1,
        first_steps=5_000,
        first_steps_max=10_000,
        min_rare_rewards=10,
        steps_per_epoch=100,
        total_steps=100_000,
        epsilon=0.01,
        temperature=1.0,
        age_weights=(0.1, 0.1, 0.1, 0.7),
    )
    assert config.final_epochs == 50
    evaluation = config.evaluation
    assert (evaluation.every_epochs, evaluation.episodes, evaluation.final_episodes) == (10, 4, 100)


def test_csgo_is_the_published_model() -> None:
    config = preset("csgo")
    with torch.device("meta"):
        model = Diamond(config.world_model, (3, 150, 280), ActionSpec(buttons=tuple(map(str, range(51)))))
    sizes = {name: sum(p.numel() for p in m.parameters()) for name, m in model.named_children()}
    assert sizes == {"denoiser": 330_489_219, "upsampler": 51_149_187}  # published: 381 M together
    denoiser, upsampler = config.world_model.denoiser, config.world_model.upsampler
    assert upsampler is not None and config.world_model.small_shape((3, 150, 280)) == (3, 30, 56)
    for stage in (denoiser, upsampler):
        noise = (
            stage.sigma_offset,
            stage.log_sigma_mean,
            stage.log_sigma_std,
            stage.sigma_min,
            stage.sigma_max,
        )
        assert noise == (0.1, -1.2, 1.2, 2e-3, 20.0)
    assert denoiser.noise_previous_obs and not upsampler.noise_previous_obs
    assert (denoiser.num_autoregressive_steps, upsampler.num_autoregressive_steps) == (4, 1)
    assert config.denoiser.batch_size == 16 * config.num_shards == 128
    assert config.denoiser.optimizer == OptimizerConfig(1e-4, 1e-2, 1e-8, 100, max_grad_norm=10.0)
    assert config.world_model.sampler == SamplerConfig(3, s_cond=0.005)
    assert upsampler.sampler == SamplerConfig(
        10, sigma_min=1.0, s_churn=10.0, s_tmin=1.0, s_tmax=5.0, s_noise=0.9
    )


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_computes_its_networks(name: str) -> None:
    """On PyTorch's meta device: all shapes, no numbers."""
    config = preset(name)
    recorded = {"csgo": (3, 150, 280), "vizdoom": (3, 120, 160), "driving": (3, 96, 96)}
    shape = recorded.get(name, config.env.obs_shape)
    spec = ActionSpec.numbered(3)
    with torch.device("meta"):
        agent = Agent(AgentConfig(shape, spec, config.world_model, config.actor_critic))
        model = agent.world_model
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
        policy = agent.actor_critic
        assert policy(torch.zeros(1, *shape).byte(), policy.initial_state(1)).logits.shape == (1, 3)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_a_configuration_file(name: str) -> None:
    assert from_dict(Config, to_dict(preset(name))) == preset(name)


def test_an_unknown_preset_is_told_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown preset 'atari-100k'; did you mean 'atari100k'\?"):
        preset("atari-100k")


@pytest.mark.parametrize(
    ("part", "values"),
    [
        (Config, {"seed": -1}),
        (Config, {"final_epochs": -1}),
        (Config, {"checkpoint_minutes": -0.1}),
        (ComponentTraining, {"batch_size": 0}),
        (ComponentTraining, {"updates_per_epoch": -1}),
        (ComponentTraining, {"average_decay": 1.0}),
        (PolicyTraining, {"num_dreams": 0}),
        (PolicyTraining, {"horizon": 0}),
        (PolicyTraining, {"steps_per_update": 0}),
        (CollectionConfig, {"num_envs": 0}),
        (CollectionConfig, {"steps_per_epoch": 0}),
        (CollectionConfig, {"first_steps": 0}),
        (CollectionConfig, {"first_steps": 10_001}),
        (CollectionConfig, {"total_steps": 9_999}),
        (CollectionConfig, {"epsilon": 1.1}),
        (CollectionConfig, {"epsilon": float("nan")}),
        (CollectionConfig, {"temperature": -1.0}),
        (EvaluationConfig, {"every_epochs": 0}),
        (EvaluationConfig, {"episodes": 0}),
        (EvaluationConfig, {"final_episodes": 0}),
        (EvaluationConfig, {"heldout_steps": 0}),
    ],
)
def test_impossible_values_are_refused_by_name(part: type, values: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(values))) as error:
        part(**values)
    assert "\n" not in str(error.value)


def test_impossible_combinations_are_refused() -> None:
    config = preset("atari100k")
    with pytest.raises(
        UserError, match=r"frames of 7x7 pixels are too small for 4 levels of the denoiser; .* least 8"
    ):
        replace(config, env=EnvConfig(size=7))
    denoiser = config.world_model.denoiser
    network = replace(denoiser.network, context_length=1)
    model = replace(config.world_model, denoiser=replace(denoiser, network=network))
    with pytest.raises(UserError, match="context_length must be at least 2, got 1"):
        replace(config, world_model=model)
