"""The two stages of the published model of CS:GO: noise in past frames, buttons, and the upsampler."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Generator, Tensor, nn

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.core.types import Batch, to_model_range
from adamas.diffusion.ddpm import DdpmConfig
from adamas.diffusion.denoiser import sample
from adamas.diffusion.edm import Edm, EdmConfig, EdmDenoiser
from adamas.diffusion.samplers import SamplerConfig
from adamas.diffusion.upsampler import Upsampler, UpsamplerConfig
from adamas.nn.unet import FrameNetworkConfig
from adamas.world_models.diamond import DiamondConfig

if TYPE_CHECKING:
    from tests.conftest import LoadReference

TOLD = FrameNetworkConfig(
    context_length=2,
    cond_channels=16,
    depths=(1, 1),
    channels=(8, 8),
    attn_depths=(False, False),
    noise_cond=True,
)
UNTOLD = replace(TOLD, noise_cond=False)
BUTTONS = ActionSpec(buttons=("w", "a", "s"))
Recorded = tuple[Edm, dict[str, Tensor]]


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def shake(model: nn.Module) -> None:
    """Fill the weights that start at 0, so that everything in the network counts."""
    generator = seeded()
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1, generator=generator)


def make_denoiser(network: FrameNetworkConfig = TOLD, noise_previous_obs: bool = True) -> EdmDenoiser:
    torch.manual_seed(0)
    denoiser = EdmDenoiser(EdmConfig(network=network, noise_previous_obs=noise_previous_obs), 3, BUTTONS)
    shake(denoiser)
    return denoiser


def make_upsampler(num_autoregressive_steps: int = 1, noise_previous_obs: bool = False) -> Upsampler:
    torch.manual_seed(0)
    config = UpsamplerConfig(
        network=TOLD,
        factor=3,
        num_autoregressive_steps=num_autoregressive_steps,
        noise_previous_obs=noise_previous_obs,
    )
    upsampler = Upsampler(config, 3)
    shake(upsampler)
    return upsampler


def frames_alone(obs: Tensor, mask: Tensor | None = None) -> Batch:
    """A batch of (B, T + 1, C, H, W) frames, without actions and all that follows from them."""
    nothing = torch.zeros(len(obs), obs.shape[1] - 1)
    mask = torch.ones(obs.shape[:2], dtype=torch.bool) if mask is None else mask
    return Batch(obs, nothing.long(), nothing, nothing.bool(), nothing.bool(), mask)


def close(x: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(x, expected, atol=1e-4, rtol=1e-4)


def close_in_levels(x: Tensor, expected: Tensor) -> None:
    """Frames of 256 levels: at most one level apart, in at most one value of a thousand."""
    off = (x - expected).abs() > 1e-4
    assert off.float().mean() <= 1e-3
    assert ((x - expected).abs() <= 1.01 * 2 / 255).all()


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


@pytest.fixture(scope="module")
def recorded_upsampler(reference: LoadReference) -> Recorded:
    found = reference("upsampler")
    config = UpsamplerConfig(
        network=replace(found.network(), noise_cond=True),
        sigma_offset=found.config["sigma_offset_noise"],
        factor=found.config["upsampling_factor"],
    )
    upsampler = Upsampler(config, found.config["inner_model"]["img_channels"])
    upsampler.load_state_dict(found.weights)
    return upsampler.requires_grad_(False), found.io


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


def test_upsampler_as_recorded(recorded_upsampler: Recorded) -> None:
    upsampler, io = recorded_upsampler
    assert isinstance(upsampler, Upsampler)
    close(upsampler.enlarge(io["low_res"]), io["low_res_upsampled"])
    context = upsampler.context(io["previous_full_res"], io["low_res"])
    cond = upsampler.conditioners(io["sigma"])
    output = upsampler.network_output(io["noisy"], cond, context, None)
    close(output, io["network_output"])
    close_in_levels(upsampler.estimate(io["noisy"], output, cond), io["denoised_quantised"])
    one_step = SamplerConfig(
        num_steps=1, sigma_max=io["sigma"][0].item()
    )  # its sample is the estimate at sigma_max
    drawn = upsampler.sample(io["previous_full_res"][:1], io["low_res"][:1], one_step, io["noisy"][:1])
    close_in_levels(drawn, io["denoised_quantised"][:1])


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


def test_small_frames_are_enlarged_by_the_cubic_convolution() -> None:
    """What becomes of one bright pixel, by Keys's kernel with a = -3/4 at thirds of a pixel."""
    upsampler = make_upsampler()
    small = torch.zeros(1, 3, 7, 9)
    small[..., 3, 4] = 1
    large = upsampler.enlarge(small)
    assert large.shape == (1, 3, 21, 27)
    kernel = torch.tensor([-1.5, -3, 0, 10, 21.5, 27, 21.5, 10, 0, -3, -1.5]) / 27
    torch.testing.assert_close(large[0, 0, 10, 8:19], kernel)  # the pixel's centre is at (10, 13)
    torch.testing.assert_close(large[0, 0, 5:16, 13], kernel)
    assert not large[..., :5, :].any() and not large[..., :8].any()


def test_the_upsampler_s_context_ends_with_the_enlarged_frame() -> None:
    upsampler = make_upsampler()
    past, small = torch.rand(2, 2, 3, 15, 21), torch.rand(2, 3, 5, 7)
    context = upsampler.context(past, small)
    assert torch.equal(context[:, :2], past)
    assert torch.equal(context[:, 2], upsampler.enlarge(small))


@pytest.mark.parametrize("noise_previous_obs", [False, True])
def test_the_upsampler_unrolls_from_its_own_frames_and_real_small_ones(noise_previous_obs: bool) -> None:
    upsampler = make_upsampler(2, noise_previous_obs)
    large = torch.randint(256, (2, 5, 3, 15, 21), generator=seeded(1)).byte()
    small = upsampler.shrink(large)
    assert small.shape == (2, 5, 3, 5, 7)
    calls: list[tuple[Tensor, ...]] = []
    estimates: list[Tensor] = []
    losses: list[Tensor] = []
    target_loss = upsampler.target_loss

    def spy(*args: Tensor) -> tuple[Tensor, Tensor]:
        loss, estimate = target_loss(*args)
        calls.append(args)
        estimates.append(estimate)
        losses.append(loss)
        return loss, estimate

    upsampler.target_loss = spy  # type: ignore[method-assign, assignment]
    loss, metrics = upsampler.loss(frames_alone(large), seeded())
    assert upsampler.config.segment_length == 5 and len(calls) == 3
    torch.testing.assert_close(loss, torch.stack(losses).mean())
    assert torch.equal(metrics["loss"], loss.detach())
    frames = [*to_model_range(large[:, :2]).unbind(1), *estimates]
    for t, call in enumerate(calls):
        assert torch.equal(call[2], to_model_range(large[:, t + 2]))
        torch.testing.assert_close(call[4][:, 2], upsampler.enlarge(to_model_range(small[:, t + 2])))
        assert torch.equal(call[4][:, :2], torch.stack(frames[t : t + 2], dim=1)) is not noise_previous_obs
    loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in upsampler.parameters())


def test_padding_is_masked_out_of_the_upsampler_s_loss() -> None:
    """The last segment begins with padding: only its last frame is real."""
    upsampler = make_upsampler()
    large = torch.randint(256, (2, 4, 3, 15, 21), generator=seeded(1)).byte()
    mask = torch.ones(2, 4, dtype=torch.bool)
    mask[-1, :3] = False

    def loss() -> Tensor:
        return upsampler.loss(frames_alone(large, mask), seeded())[0]

    before = loss()
    large[-1, :3] = 255 - large[-1, :3]
    assert torch.equal(loss(), before)
    large[-1, 3] = 255 - large[-1, 3]
    assert not torch.equal(loss(), before)


def test_small_frames_are_the_published_ones() -> None:
    """Bicubic interpolation of the smoothed image, as Pillow does it too, but for ties in its rounding."""
    obs = torch.randint(256, (2, 2, 3, 15, 21), generator=seeded()).byte()
    small = make_upsampler().shrink(obs)
    image = Image.fromarray(obs[1, 0].permute(1, 2, 0).numpy()).resize((7, 5), Image.Resampling.BICUBIC)
    expected = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    assert (small[1, 0].int() - expected.int()).abs().max() <= 1
    grey = torch.full((1, 3, 15, 21), 77, dtype=torch.uint8)
    assert torch.equal(make_upsampler().shrink(grey), grey[..., :5, :7])


def test_the_upsampler_draws_from_its_generator_and_on_frames_of_odd_sizes() -> None:
    upsampler = make_upsampler()
    past, small = torch.rand(2, 2, 3, 15, 21), torch.rand(2, 3, 5, 7)
    one, two, other = (upsampler.sample(past, small, SamplerConfig(), generator=seeded(s)) for s in (0, 0, 1))
    assert one.shape == (2, 3, 15, 21) and one.abs().max() <= 1 and not one.requires_grad
    assert torch.equal(one, two) and not torch.equal(one, other)
    noise = torch.randn((2, 3, 15, 21), generator=seeded())
    assert torch.equal(one, upsampler.sample(past, small, SamplerConfig(), noise))
    elsewhere = upsampler.sample(past, small.flip(-1), SamplerConfig(), noise)
    assert not torch.equal(one, elsewhere)


def test_an_upsampler_learns_to_enlarge() -> None:
    """With the small frame it can tell what the noise hides; without, it cannot."""
    torch.manual_seed(0)
    upsampler = Upsampler(UpsamplerConfig(network=TOLD, factor=3, num_autoregressive_steps=0), 3)
    generator = seeded(2)
    optimizer = torch.optim.Adam(upsampler.parameters(), lr=5e-3)
    for _ in range(60):
        small = torch.randint(256, (16, 3, 3, 3, 3), generator=generator).byte()
        large = small.repeat_interleave(3, dim=-1).repeat_interleave(3, dim=-2)
        loss, _ = upsampler.loss(frames_alone(large), generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    small, large = to_model_range(small), to_model_range(large)

    def error(low_res: Tensor) -> float:
        drawn = upsampler.sample(large[:, :2], low_res, SamplerConfig(num_steps=1), generator=seeded())
        return (drawn - large[:, 2]).abs().mean().item()

    assert error(small[:, 2]) < 0.6 * error(small[:, 2].flip(0))


def test_what_a_network_is_not_told_is_refused() -> None:
    with pytest.raises(UserError, match=r"noise_previous_obs needs .*; set network.noise_cond"):
        EdmConfig(network=UNTOLD, noise_previous_obs=True)
    with pytest.raises(UserError, match="noise_cond is for edm, not ddpm"):
        DdpmConfig(network=TOLD)
    noisy = SamplerConfig(s_cond=0.1)
    with pytest.raises(UserError, match=r"s_cond is 0.1, but .*; use s_cond 0"):
        DiamondConfig(denoiser=EdmConfig(network=UNTOLD), sampler=noisy)
    assert DiamondConfig(denoiser=EdmConfig(network=TOLD), sampler=noisy).sampler == noisy
    untold = make_denoiser(UNTOLD, noise_previous_obs=False)
    past, action = torch.zeros(1, 2, 3, 8, 8), torch.zeros(1, 2, 3)
    with pytest.raises(UserError, match=r"s_cond is 0\.1"):
        sample(untold, past, action, noisy)
    with pytest.raises(ValueError, match="not conditioned on noise in past frames"):
        untold.denoise(past[:, 0], torch.ones(()), past, action, torch.ones(1))
    with pytest.raises(UserError, match=r"s_cond >= 0, got 7\.0, 0\.0, 1\.0 and -0\.1"):
        SamplerConfig(s_cond=-0.1)


def test_impossible_upsamplers_are_refused() -> None:
    with pytest.raises(UserError, match="factor is 0; it must be at least 1"):
        UpsamplerConfig(factor=0)
