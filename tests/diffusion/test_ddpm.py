"""The DDPM denoiser against recorded values, and what its training sees."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.diffusion.ddpm import NUM_TIMESTEPS, DdpmConfig, DdpmDenoiser
from adamas.diffusion.denoiser import sample
from adamas.diffusion.samplers import SamplerConfig
from adamas.world_models.diamond.world import Diamond, DiamondConfig
from tests.helpers.batches import frames_alone
from tests.helpers.tensors import close, seeded
from tests.helpers.tiny_agent import fill_zeros, tiny_network, tiny_reward_end

if TYPE_CHECKING:
    from tests.conftest import LoadReference

NETWORK = tiny_network(levels=2)
CONFIG = DdpmConfig(network=NETWORK)
Recorded = tuple[DdpmDenoiser, dict[str, Tensor]]


@pytest.fixture
def recorded(reference: LoadReference) -> Recorded:
    found = reference("ddpm_denoiser")
    config, weights, io = found
    network, sizes = found.network(), config["inner_model"]
    denoiser = DdpmDenoiser(
        DdpmConfig(network=network), sizes["img_channels"], ActionSpec.numbered(sizes["num_actions"])
    )
    denoiser.load_state_dict({name.replace("noise_model", "inner_model"): w for name, w in weights.items()})
    return denoiser.requires_grad_(False), io


def test_noise_schedule_as_recorded(recorded: Recorded) -> None:
    denoiser, io = recorded
    assert torch.equal(denoiser.alphas_cumprod, io["alphas_cumprod"])


def test_training_step_as_recorded(recorded: Recorded) -> None:
    denoiser, io = recorded
    obs, noise, timestep = io["train_next_obs"], io["train_noise"], io["train_timestep"]
    noisy = denoiser.add_noise(obs, timestep, noise)
    close(noisy, io["train_noisy"])
    close(denoiser.predict_noise(noisy, timestep, io["obs"], io["act"]), io["predicted_noise"])
    loss, estimate = denoiser.target_loss(
        noise, timestep, obs, torch.ones(3, dtype=torch.bool), io["obs"], io["act"]
    )
    close(loss, io["train_loss"])
    clean = denoiser.estimate(noisy, io["predicted_noise"], timestep)
    assert ((estimate - clean).abs() <= 1.01 * 2 / 255).all() and clean.abs().max() <= 1


@pytest.mark.parametrize("num_steps", [1, 3, 10])
def test_samples_as_recorded(recorded: Recorded, num_steps: int) -> None:
    denoiser, io = recorded
    sampler = SamplerConfig(num_steps=num_steps, s_noise=0.0)
    frame = sample(denoiser, io["obs"], io["act"], sampler, io["sample_initial_noise"])
    close(frame, io[f"sample_mean_path_steps{num_steps}"])


def test_whole_path_as_recorded(recorded: Recorded) -> None:
    denoiser, io = recorded
    sampler = replace(SamplerConfig(num_steps=3), s_noise=0.0)
    path = denoiser.path(io["sample_initial_noise"], io["obs"], io["act"], sampler)
    *before, last = io["sample_mean_path_steps3_trajectory"]
    close(torch.stack(path[:-1]), torch.stack(before))
    assert ((path[-1] - last).abs() <= 1.01 * 2 / 255).all()  # recorded before it was cut down to levels


def make_denoiser() -> DdpmDenoiser:
    torch.manual_seed(0)
    return DdpmDenoiser(CONFIG, 3, ActionSpec.numbered(4))


def test_the_clean_frame_is_found_when_the_noise_is_known() -> None:
    denoiser, obs = make_denoiser(), torch.rand(3, 3, 8, 8) * 2 - 1
    timestep, noise = torch.tensor([0, 300, 700]), torch.randn(3, 3, 8, 8)
    torch.testing.assert_close(
        denoiser.estimate(denoiser.add_noise(obs, timestep, noise), noise, timestep), obs, atol=1e-4, rtol=0
    )


def test_a_step_draws_from_the_posterior() -> None:
    """With a network that knows the clean frame, x at the next timestep has the forward process's moments there."""
    denoiser = make_denoiser()
    obs, t, before = torch.full((2000, 1, 4, 4), 0.5), 600, 400
    start = torch.full((2000,), t)
    x = denoiser.add_noise(obs, start, torch.randn(obs.shape, generator=seeded()))
    drawn = denoiser._posterior(x, obs, t, before, 1.0, seeded(1))
    left = denoiser.alphas_cumprod[before]
    assert drawn.mean().item() == pytest.approx(0.5 * left.sqrt().item(), abs=0.02)
    assert drawn.var().item() == pytest.approx(1 - left.item(), rel=0.03)


def test_noise_of_the_steps_follows_the_generator_and_its_scale() -> None:
    denoiser, past, action = make_denoiser(), torch.rand(2, 2, 3, 8, 8), torch.zeros(2, 2).long()
    start = torch.randn((2, 3, 8, 8), generator=seeded(3))

    def draw(seed: int, s_noise: float) -> Tensor:
        return sample(
            denoiser, past, action, SamplerConfig(num_steps=4, s_noise=s_noise), start, seeded(seed)
        )

    torch.nn.init.normal_(denoiser.inner_model.conv_out.weight, std=0.1)
    assert torch.equal(draw(0, 1.0), draw(0, 1.0)) and not torch.equal(draw(0, 1.0), draw(1, 1.0))
    assert torch.equal(draw(0, 0.0), draw(1, 0.0))


def test_training_learns_in_every_parameter_and_draws_all_timesteps() -> None:
    denoiser = make_denoiser()
    fill_zeros(denoiser)
    seen: list[Tensor] = []
    target_loss = denoiser.target_loss

    def spy(*args: Tensor) -> tuple[Tensor, Tensor]:
        seen.append(args[1])
        return target_loss(*args)

    denoiser.target_loss = spy  # type: ignore[method-assign, assignment]
    frames = torch.randint(256, (64, 4, 3, 8, 8), generator=seeded()).to(torch.uint8)
    batch = frames_alone(frames)
    loss, metrics = denoiser.loss(batch, seeded())
    loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in denoiser.parameters())
    assert torch.equal(metrics["loss"], loss.detach())
    timesteps = torch.cat(seen)
    assert len(timesteps) == 128 and timesteps.min() < 100 and 900 <= timesteps.max() < NUM_TIMESTEPS


def test_a_world_model_dreams_with_it() -> None:
    reward_end = tiny_reward_end(levels=2, segment_length=9)
    model = Diamond(
        DiamondConfig(denoiser=CONFIG, reward_end=reward_end, sampler=SamplerConfig(num_steps=2)),
        (3, 8, 8),
        ActionSpec.numbered(4),
    )
    frames = torch.zeros(2, 2, 3, 8, 8, dtype=torch.uint8)
    context = frames_alone(frames)
    _, imagined = model.imagine(model.start(context)[0], torch.tensor([0, 1]), seeded())
    assert isinstance(model.denoiser, DdpmDenoiser) and imagined.features.shape == (2, 3, 8, 8)
    with pytest.raises(UserError, match=r"`sampler\.num_steps` is 1001; it must be at most 1,000"):
        DiamondConfig(denoiser=CONFIG, reward_end=reward_end, sampler=SamplerConfig(num_steps=1001))
