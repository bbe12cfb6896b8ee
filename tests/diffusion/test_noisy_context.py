"""Noise in past frames and buttons as actions, as in the published model of CS:GO."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.diffusion.ddpm import DdpmConfig
from adamas.diffusion.denoiser import sample
from adamas.diffusion.edm import EdmConfig, EdmDenoiser
from adamas.diffusion.samplers import SamplerConfig
from adamas.nn.unet import FrameNetworkConfig
from adamas.world_models.diamond.world import DiamondConfig
from tests.helpers.tiny_agent import fill_zeros

if TYPE_CHECKING:
    from tests.conftest import LoadReference
from tests.helpers.tensors import close, close_in_levels, seeded
from tests.helpers.two_stage import TOLD, Recorded

UNTOLD = replace(TOLD, noise_cond=False)
BUTTONS = ActionSpec(buttons=("w", "a", "s"))


def make_denoiser(network: FrameNetworkConfig = TOLD, noise_previous_obs: bool = True) -> EdmDenoiser:
    torch.manual_seed(0)
    denoiser = EdmDenoiser(EdmConfig(network=network, noise_previous_obs=noise_previous_obs), 3, BUTTONS)
    fill_zeros(denoiser, generator=seeded())
    return denoiser


@pytest.fixture(scope="module")
def recorded_denoiser(reference: LoadReference) -> Recorded:
    found = reference("two_stage_denoiser")
    sizes = found.config["inner_model"]
    spec = ActionSpec(buttons=tuple(map(str, range(sizes["num_actions"]))))
    config = EdmConfig(
        network=replace(found.network(), noise_cond=True),
        sigma_offset=found.config["sigma_offset_noise"],
        noise_previous_obs=found.config["noise_previous_obs"],
    )
    denoiser = EdmDenoiser(config, sizes["img_channels"], spec)
    denoiser.load_state_dict(found.weights)
    return denoiser.requires_grad_(False), found.io


def test_noise_in_past_frames_as_recorded(recorded_denoiser: Recorded) -> None:
    denoiser, io = recorded_denoiser
    noisy, sigma, sigma_cond = io["noisy"], io["sigma"], io["sigma_cond"]
    told: list[Tensor] = []
    assert denoiser.inner_model.noise_cond_emb is not None
    hook = denoiser.inner_model.noise_cond_emb.register_forward_pre_hook(lambda _, args: told.extend(args))
    cond = denoiser.conditioners(sigma)
    output = denoiser.network_output(noisy, cond, io["obs"], io["act_multi_binary"], sigma_cond)
    hook.remove()
    close(told[0], io["c_noise_cond"])
    close(output, io["network_output"])
    denoised = denoiser.denoise(noisy, sigma, io["obs"], io["act_multi_binary"], sigma_cond)
    close_in_levels(denoised, io["denoised_quantised"])


def test_sample_from_clean_past_frames_as_recorded(recorded_denoiser: Recorded) -> None:
    denoiser, io = recorded_denoiser
    assert isinstance(denoiser, EdmDenoiser)
    arguments = io["obs"], io["act_multi_binary"], SamplerConfig(num_steps=3), io["sample_initial_noise"]
    close_in_levels(sample(denoiser, *arguments), io["sample_order1_steps3_no_cond_noise"])


def test_only_past_frames_get_noise_each_its_own_and_with_an_offset() -> None:
    denoiser = make_denoiser()
    past = torch.zeros(400, 3, 3, 4, 5)  # two past frames and an extra one
    sigma_cond = torch.linspace(0, 2, 400)
    noisy = denoiser.noise_past(past, sigma_cond, 0.3, seeded())
    assert noisy.shape == past.shape and not noisy[:, 2].any()
    offset = noisy[0, :2]  # the first level is 0
    assert torch.equal(offset, offset[..., :1, :1].expand_as(offset))
    assert len(offset[..., 0, 0].unique()) == 6  # frames and channels have one each
    level = noisy[:, :2].var(dim=(-1, -2)).mean(dim=(1, 2)).sqrt()
    assert torch.corrcoef(torch.stack((level, sigma_cond)))[0, 1] > 0.95
    without = denoiser.noise_past(past, torch.full((400,), 0.5), 0.0, seeded())[:, :2]
    assert without.std().item() == pytest.approx(0.5, rel=0.02)
    assert without.mean(dim=(-1, -2)).std().item() == pytest.approx(0.5 / 20**0.5, rel=0.1)  # of 20 pixels


def test_training_tells_the_network_of_noise_in_past_frames() -> None:
    denoiser = make_denoiser()
    past = torch.zeros(64, 2, 3, 16, 16)
    calls: list[tuple[Tensor, ...]] = []

    def spy(*args: Tensor) -> tuple[Tensor, Tensor]:
        calls.append(args)
        return torch.zeros(()), args[0]

    denoiser.target_loss = spy  # type: ignore[method-assign, assignment]
    action = torch.zeros(64, 2, 3)
    denoiser.random_loss(past[:, 0], torch.ones(64).bool(), past, action, seeded())
    _, sigma, _, _, noisy_past, _, sigma_cond = calls[0]
    assert not torch.equal(sigma, sigma_cond)
    assert len(sigma_cond.unique()) == 64
    level = noisy_past.flatten(1, 2).std(dim=(-1, -2)).mean(dim=1)
    torch.testing.assert_close(level, sigma_cond, rtol=0.15, atol=0.0)
    offset = noisy_past[sigma_cond < 1].mean(dim=(-1, -2))
    assert offset.std().item() == pytest.approx(denoiser.config.sigma_offset, rel=0.15)

    without = make_denoiser(noise_previous_obs=False)
    without.target_loss = spy  # type: ignore[method-assign, assignment]
    without.random_loss(past[:, 0], torch.ones(64).bool(), past, action, seeded())
    assert torch.equal(calls[1][4], past) and len(calls[1]) == 6


def test_sampling_with_noise_in_past_frames() -> None:
    denoiser = make_denoiser()
    past, action = torch.rand(2, 2, 3, 9, 14), torch.ones(2, 2, 3)
    noise = torch.randn((2, 3, 9, 14), generator=seeded(3))
    seen: list[tuple[Tensor, ...]] = []
    denoise = denoiser.denoise

    def spy(*args: Tensor) -> Tensor:
        seen.append(args)
        return denoise(*args)

    denoiser.denoise = spy  # type: ignore[method-assign, assignment]

    def draw(s_cond: float, seed: int) -> Tensor:
        sampler = SamplerConfig(num_steps=2, s_cond=s_cond)
        return sample(denoiser, past, action, sampler, noise, seeded(seed))

    one, same, other = draw(0.5, 0), draw(0.5, 0), draw(0.5, 1)
    assert torch.equal(one, same) and not torch.equal(one, other)
    first, second = seen[:2]
    assert torch.equal(first[2], second[2])  # noise is drawn once for a frame
    assert (first[2] - past).std().item() == pytest.approx(0.5, rel=0.1)
    assert first[4].tolist() == [0.5, 0.5]
    seen.clear()
    assert torch.equal(draw(0.0, 0), draw(0.0, 1))
    assert torch.equal(seen[0][2], past) and seen[0][4] is None


def test_what_a_network_is_not_told_is_refused() -> None:
    with pytest.raises(UserError, match=r"`noise_previous_obs` needs .*; set `network.noise_cond`"):
        EdmConfig(network=UNTOLD, noise_previous_obs=True)
    with pytest.raises(UserError, match="noise_cond` is for edm, not ddpm"):
        DdpmConfig(network=TOLD)
    noisy = SamplerConfig(s_cond=0.1)
    with pytest.raises(UserError, match=r"`sampler.s_cond` is 0.1, but .*; use 0"):
        DiamondConfig(denoiser=EdmConfig(network=UNTOLD), sampler=noisy)
    assert DiamondConfig(denoiser=EdmConfig(network=TOLD), sampler=noisy).sampler == noisy
    untold = make_denoiser(UNTOLD, noise_previous_obs=False)
    past, action = torch.zeros(1, 2, 3, 8, 8), torch.zeros(1, 2, 3)
    with pytest.raises(UserError, match=r"`sampler.s_cond` is 0\.1"):
        sample(untold, past, action, noisy)
    with pytest.raises(ValueError, match="not conditioned on noise in past frames"):
        untold.denoise(past[:, 0], torch.ones(()), past, action, torch.ones(1))
    with pytest.raises(UserError, match=r"`sampler.s_cond` is -0\.1; it must be at least 0"):
        SamplerConfig(s_cond=-0.1)
