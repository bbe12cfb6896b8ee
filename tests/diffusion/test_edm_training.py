"""What the training of the denoiser sees, and what its loss counts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from adamas.core.types import Batch, to_model_range
from adamas.diffusion.edm import EdmConfig, EdmDenoiser
from tests.helpers.tensors import seeded
from tests.helpers.tiny_denoiser import FOUR, NETWORK, make_denoiser


def test_noise_has_an_offset_that_pixels_share() -> None:
    denoiser = EdmDenoiser(EdmConfig(network=NETWORK), 3, FOUR)
    obs = torch.zeros(400, 3, 16, 16)
    noise = denoiser.add_noise(obs, torch.full((400,), 2.0), seeded())
    assert noise.std().item() == pytest.approx((2.0**2 + 0.3**2) ** 0.5, rel=0.02)
    offset = denoiser.add_noise(obs, torch.zeros(400), seeded())
    assert torch.equal(offset, offset[..., :1, :1].expand_as(offset))  # one value for a channel's pixels
    assert offset[..., 0, 0].std().item() == pytest.approx(0.3, rel=0.1)
    assert abs(torch.corrcoef(offset[..., 0, 0].T)[0, 1]) < 0.2  # but another for each channel


def test_noise_levels_are_log_normal_and_clipped() -> None:
    denoiser = EdmDenoiser(EdmConfig(network=NETWORK), 3, FOUR)
    sigma = denoiser.draw_sigma(20_000, seeded())
    assert sigma.log().mean().item() == pytest.approx(-0.4, abs=0.03)
    assert sigma.log().std().item() == pytest.approx(1.2, abs=0.03)
    narrow = EdmDenoiser(EdmConfig(network=NETWORK, sigma_min=0.5, sigma_max=1.0), 3, FOUR)
    sigma = narrow.draw_sigma(1000, seeded())
    assert sigma.min() == 0.5 and sigma.max() == 1.0


def make_batch(num_frames: int = 5, batch_size: int = 3) -> Batch:
    generator = seeded(1)
    shape = (batch_size, num_frames - 1)
    return Batch(
        obs=torch.randint(256, (batch_size, num_frames, 3, 8, 8), generator=generator).to(torch.uint8),
        action=torch.randint(4, shape, generator=generator),
        reward=torch.zeros(shape),
        terminated=torch.zeros(shape, dtype=torch.bool),
        truncated=torch.zeros(shape, dtype=torch.bool),
        mask=torch.ones(batch_size, num_frames, dtype=torch.bool),
    )


def test_each_target_is_conditioned_on_the_estimates_before_it() -> None:
    denoiser, batch = make_denoiser(), make_batch()
    calls: list[tuple[Tensor, ...]] = []
    estimates: list[Tensor] = []
    target_loss = denoiser.target_loss

    def spy(*args: Tensor) -> tuple[Tensor, Tensor]:
        calls.append(args)
        loss, estimate = target_loss(*args)
        estimates.append(estimate)
        return loss, estimate

    denoiser.target_loss = spy  # type: ignore[method-assign, assignment]
    loss, _ = denoiser.loss(batch, seeded())
    loss.backward()
    frames = to_model_range(batch.obs)
    contexts = [call[4] for call in calls]
    assert len(calls) == 3
    assert torch.equal(contexts[0], frames[:, 0:2])
    assert torch.equal(contexts[1], torch.stack((frames[:, 1], estimates[0]), dim=1))
    assert torch.equal(contexts[2], torch.stack((estimates[0], estimates[1]), dim=1))
    for t, (_, _, target, _, _, action) in enumerate(calls):
        assert torch.equal(target, frames[:, t + 2])  # the truth stays the target
        assert torch.equal(action, batch.action[:, t : t + 2])
    assert not any(estimate.requires_grad for estimate in estimates)


def test_loss_is_the_mean_over_targets_and_learns_in_every_parameter() -> None:
    denoiser, batch = make_denoiser(), make_batch()
    singles: list[Tensor] = []
    target_loss = denoiser.target_loss

    def spy(*args: Tensor) -> tuple[Tensor, Tensor]:
        loss, estimate = target_loss(*args)
        singles.append(loss)
        return loss, estimate

    denoiser.target_loss = spy  # type: ignore[method-assign, assignment]
    loss, metrics = denoiser.loss(batch, seeded())
    torch.testing.assert_close(loss, torch.stack(singles).mean())
    assert torch.equal(metrics["loss"], loss.detach()) and not metrics["loss"].requires_grad
    loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in denoiser.parameters())
    again, _ = denoiser.loss(batch, seeded())
    other, _ = denoiser.loss(batch, seeded(7))
    assert torch.equal(loss, again) and not torch.equal(loss, other)


def test_padding_is_masked_out() -> None:
    """The last segment begins with padding: only its last frame is real, and its first target is padding."""
    denoiser, batch = make_denoiser(1), make_batch(num_frames=4)
    batch.mask[-1] = torch.tensor([False, False, False, True])
    obs = batch.obs.clone()
    obs[-1, :3] = 255 - obs[-1, :3]
    loss, _ = denoiser.loss(batch, seeded())
    other, _ = denoiser.loss(replace(batch, obs=obs), seeded())
    assert torch.equal(loss, other)
    obs[-1, 3] = 255 - obs[-1, 3]
    other, _ = denoiser.loss(replace(batch, obs=obs), seeded())
    assert not torch.equal(loss, other)


def test_masked_mean_by_hand() -> None:
    denoiser = make_denoiser()
    obs, sigma = torch.rand(3, 3, 8, 8), torch.tensor([0.1, 1.0, 5.0])
    noisy = denoiser.add_noise(obs, sigma, seeded())
    past, action = torch.rand(3, 2, 3, 8, 8), torch.zeros(3, 2).long()

    def loss(mask: list[bool]) -> Tensor:
        return denoiser.target_loss(noisy, sigma, obs, torch.tensor(mask), past, action)[0]

    only = [loss([i == j for i in range(3)]) for j in range(3)]
    torch.testing.assert_close(loss([True, False, True]), (only[0] + only[2]) / 2)
    assert loss([False, False, False]) == 0


def test_a_denoiser_learns_to_copy_a_still_picture() -> None:
    torch.manual_seed(0)
    denoiser, batch = (
        EdmDenoiser(EdmConfig(network=NETWORK, num_autoregressive_steps=0), 3, FOUR),
        make_batch(3),
    )
    batch = replace(batch, obs=batch.obs[:, :1].expand(-1, 3, -1, -1, -1))
    optimizer, generator = torch.optim.Adam(denoiser.parameters(), lr=1e-2), seeded()
    losses = []
    for _ in range(40):
        loss, _ = denoiser.loss(batch, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])
