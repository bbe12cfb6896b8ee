"""The upsampler of the published model of CS:GO."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from adamas.core.errors import UserError
from adamas.core.types import to_model_range
from adamas.diffusion.samplers import SamplerConfig
from adamas.diffusion.upsampler import Upsampler, UpsamplerConfig
from tests.helpers.batches import frames_alone
from tests.helpers.tiny_agent import fill_zeros

if TYPE_CHECKING:
    from tests.conftest import LoadReference
from tests.helpers.tensors import close, close_in_levels, seeded
from tests.helpers.two_stage import TOLD, Recorded


def make_upsampler(num_autoregressive_steps: int = 1, noise_previous_obs: bool = False) -> Upsampler:
    torch.manual_seed(0)
    config = UpsamplerConfig(
        network=TOLD,
        factor=3,
        num_autoregressive_steps=num_autoregressive_steps,
        noise_previous_obs=noise_previous_obs,
    )
    upsampler = Upsampler(config, 3)
    fill_zeros(upsampler, generator=seeded())
    return upsampler


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


def test_impossible_upsamplers_are_refused() -> None:
    with pytest.raises(UserError, match=r"`upsampler.factor` is 0; it must be at least 1"):
        UpsamplerConfig(factor=0)
