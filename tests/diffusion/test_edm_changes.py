"""A denoiser of changes predicts how the newest frame changes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from adamas.core.errors import UserError
from adamas.diffusion.denoiser import sample
from adamas.diffusion.edm import EdmConfig, EdmDenoiser
from adamas.diffusion.samplers import SamplerConfig
from tests.helpers.tensors import close, seeded
from tests.helpers.tiny_denoiser import FOUR, NETWORK

CHANGING = EdmConfig(network=NETWORK, sigma_change=0.3, sigma_offset=0.0, quantise=False)


def test_a_change_is_denoised_as_a_frame_would_be() -> None:
    """Of what frames differ by from the newest one: as if those were frames, and sigma_data were sigma_change."""
    torch.manual_seed(0)
    denoiser = EdmDenoiser(CHANGING, 3, FOUR)
    nn.init.normal_(denoiser.inner_model.conv_out.weight)
    plain = EdmDenoiser(replace(CHANGING, sigma_change=None, sigma_data=0.3), 3, FOUR)

    class SameView(nn.Module):
        """Past frames are scaled by the deviation of frames, whatever is estimated."""

        def forward(self, x: Tensor, c_noise: Tensor, prev_obs: Tensor, *rest: Tensor) -> Tensor:
            return denoiser.inner_model(x, c_noise, prev_obs * 0.3 / 0.5, *rest)

    plain.inner_model = SameView()  # type: ignore[assignment]
    generator = seeded()
    past, obs = torch.rand(2, 2, 3, 4, 4, generator=generator), torch.rand(2, 3, 4, 4, generator=generator)
    action, sigma, mask = torch.tensor([[0, 1], [2, 3]]), torch.tensor([0.1, 2.0]), torch.ones(2).bool()
    newest, noisy = past[:, -1], obs + torch.randn(obs.shape, generator=generator)
    close(
        denoiser.denoise(noisy, sigma, past, action),
        newest + plain.denoise(noisy - newest, sigma, past, action),
    )
    loss, estimate = denoiser.target_loss(noisy, sigma, obs, mask, past, action)
    expected, change = plain.target_loss(noisy - newest, sigma, obs - newest, mask, past, action)
    close(loss, expected)
    close(estimate, newest + change)


def test_a_model_of_changes_that_knows_nothing_repeats_the_newest_frame() -> None:
    denoiser = EdmDenoiser(CHANGING, 3, FOUR)
    nn.init.zeros_(denoiser.inner_model.conv_out.bias)  # type: ignore[arg-type]
    past, action = torch.rand(2, 2, 3, 4, 4, generator=seeded()), torch.zeros(2, 2, dtype=torch.int64)
    one_step = SamplerConfig(num_steps=1, sigma_max=1e3, scale_initial_noise=True)
    frames = sample(denoiser, past, action, one_step, generator=seeded(1))
    torch.testing.assert_close(frames, past[:, -1], atol=1e-3, rtol=0)


def test_a_dream_of_changes_starts_around_the_newest_frame() -> None:
    denoiser = EdmDenoiser(CHANGING, 3, FOUR)
    past, noise = torch.rand(2, 2, 3, 4, 4, generator=seeded()), torch.randn(2, 3, 4, 4, generator=seeded(1))
    sampler = SamplerConfig(num_steps=2, scale_initial_noise=True)
    path = denoiser.path(noise, past, torch.zeros(2, 2, dtype=torch.int64), sampler)
    assert torch.equal(path[0], past[:, -1] + 5 * noise)
    plain = EdmDenoiser(replace(CHANGING, sigma_change=None), 3, FOUR)
    assert torch.equal(plain.path(noise, past, torch.zeros(2, 2, dtype=torch.int64), sampler)[0], 5 * noise)


def test_the_network_sees_no_brighter_noise_of_brighter_frames() -> None:
    """Of frames and a past that are brighter by 1, the same change is dreamt: noise around 0 would look darker."""
    denoiser = EdmDenoiser(CHANGING, 3, FOUR)
    nn.init.normal_(denoiser.inner_model.conv_out.weight)
    seen: list[Tensor] = []

    def watch(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(inputs[0])

    denoiser.inner_model.register_forward_pre_hook(watch)
    past, noise = torch.zeros(1, 2, 3, 4, 4), torch.randn(1, 3, 4, 4, generator=seeded(1))
    for brighter in (0.0, 1.0):
        denoiser.path(
            noise, past + brighter, torch.zeros(1, 2, dtype=torch.int64), SamplerConfig(num_steps=1)
        )
    torch.testing.assert_close(seen[0], seen[1])


def test_changes_need_a_scale() -> None:
    with pytest.raises(UserError, match=r"`sigma_change` is 0\.0; it must be above 0"):
        EdmConfig(network=NETWORK, sigma_change=0.0)
