"""The denoiser against recorded values, and what its training sees."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Generator, Tensor, nn

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.core.types import Batch, to_model_range
from adamas.diffusion.denoiser import sample
from adamas.diffusion.edm import EdmConfig, EdmDenoiser
from adamas.diffusion.samplers import SamplerConfig, sample_path
from adamas.nn.unet import FrameNetworkConfig

if TYPE_CHECKING:
    from tests.conftest import LoadReference

FOUR = ActionSpec.numbered(4)
NETWORK = FrameNetworkConfig(
    context_length=2, cond_channels=16, depths=(1, 1), channels=(8, 8), attn_depths=(False, False)
)
Recorded = tuple[EdmDenoiser, dict[str, Tensor]]


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.fixture
def recorded(reference: LoadReference) -> Recorded:
    found = reference("edm_denoiser")
    config, weights, io = found
    network, sizes = found.network(), config["inner_model"]
    denoiser = EdmDenoiser(
        EdmConfig(network=network), sizes["img_channels"], ActionSpec.numbered(sizes["num_actions"])
    )
    denoiser.load_state_dict(weights)
    return denoiser.requires_grad_(False), io


def close(x: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(x, expected, atol=1e-4, rtol=1e-4)


def close_in_levels(x: Tensor, expected: Tensor) -> None:
    """Frames of 256 levels: at most one level apart, in at most one value of a thousand."""
    off = (x - expected).abs() > 1e-4
    assert off.float().mean() <= 1e-3
    assert ((x - expected).abs() <= 1.01 * 2 / 255).all()


def test_preconditioners_as_recorded(recorded: Recorded) -> None:
    denoiser, io = recorded
    conditioners = denoiser.conditioners(io["sigma"])
    for name, value in conditioners._asdict().items():
        close(value.flatten(), io[name])


def test_preconditioners_by_hand() -> None:
    denoiser = EdmDenoiser(EdmConfig(network=NETWORK), 3, FOUR)
    c_in, c_out, c_skip, c_noise = denoiser.conditioners(torch.tensor(0.4))  # s = 0.5 with the offset
    assert c_in.item() == pytest.approx(2**0.5)
    assert c_skip.item() == pytest.approx(0.5)
    assert c_out.item() == pytest.approx(0.5 * 0.5**0.5)
    assert c_noise.item() == pytest.approx(-0.6931472 / 4)
    plain = EdmDenoiser(EdmConfig(network=NETWORK, sigma_offset=0.0), 3, FOUR)
    sigma = torch.tensor([0.002, 0.5, 20.0])
    c_in, c_out, c_skip, c_noise = (c.flatten() for c in plain.conditioners(sigma))  # Karras et al., table 1
    torch.testing.assert_close(c_in, 1 / (sigma**2 + 0.25).sqrt())
    torch.testing.assert_close(c_out, sigma * 0.5 / (sigma**2 + 0.25).sqrt())
    torch.testing.assert_close(c_skip, 0.25 / (sigma**2 + 0.25))
    torch.testing.assert_close(c_noise, sigma.log() / 4)


def test_network_and_estimate_as_recorded(recorded: Recorded) -> None:
    denoiser, io = recorded
    conditioners = denoiser.conditioners(io["sigma"])
    output = denoiser.network_output(io["noisy"], conditioners, io["obs"], io["act"])
    close(output, io["network_output"])
    close_in_levels(denoiser.estimate(io["noisy"], output, conditioners), io["denoised_quantised"])
    close_in_levels(
        denoiser.denoise(io["noisy"], io["sigma"], io["obs"], io["act"]), io["denoised_quantised"]
    )


@pytest.mark.parametrize(("num_steps", "order"), [(1, 1), (3, 1), (10, 1), (3, 2)])
def test_samples_as_recorded(recorded: Recorded, num_steps: int, order: int) -> None:
    denoiser, io = recorded
    config = SamplerConfig(num_steps=num_steps, method="heun" if order == 2 else "euler")
    close_in_levels(
        sample(denoiser, io["obs"], io["act"], config, io["sample_initial_noise"]),
        io[f"sample_order{order}_steps{num_steps}"],
    )


def test_whole_path_as_recorded(recorded: Recorded) -> None:
    denoiser, io = recorded
    path = sample_path(
        lambda x, sigma: denoiser.denoise(x, sigma, io["obs"], io["act"]),
        io["sample_initial_noise"],
        SamplerConfig(num_steps=3),
    )
    close_in_levels(torch.stack(path), io["sample_order1_steps3_trajectory"])


def test_training_step_as_recorded(recorded: Recorded) -> None:
    denoiser, io = recorded
    obs, sigma = io["train_next_obs"], io["train_sigma"]
    noisy = obs + 0.3 * io["train_offset_noise"] + sigma[:, None, None, None] * io["train_noise"]
    close(noisy, io["train_noisy"])
    _, c_out, c_skip, _ = denoiser.conditioners(sigma)
    close((obs - c_skip * noisy) / c_out, io["train_target"])
    everywhere = torch.ones(3, dtype=torch.bool)
    loss, estimate = denoiser.target_loss(noisy, sigma, obs, everywhere, io["obs"], io["act"])
    close(loss, io["train_loss"])
    close_in_levels(estimate, denoiser.denoise(noisy, sigma, io["obs"], io["act"]))


def test_one_level_for_the_batch_is_the_same_level_for_each(recorded: Recorded) -> None:
    denoiser, io = recorded
    one = denoiser.denoise(io["noisy"], torch.tensor(0.7), io["obs"], io["act"])
    each = denoiser.denoise(io["noisy"], torch.full((3,), 0.7), io["obs"], io["act"])
    close_in_levels(one, each)


def test_estimates_are_quantised_by_truncation() -> None:
    denoiser = EdmDenoiser(EdmConfig(network=NETWORK), 1, FOUR)
    smooth = EdmDenoiser(EdmConfig(network=NETWORK, quantise=False), 1, FOUR)
    x = torch.tensor([-3.0, -1.0, 2 * 127.9 / 255 - 1, 2 * 128.1 / 255 - 1, 1.0, 3.0]).view(1, 1, 1, 6)
    nothing = torch.zeros_like(x)
    cond = denoiser.conditioners(torch.tensor(0.0))._replace(c_skip=torch.ones(1, 1, 1))
    levels = (denoiser.estimate(x, nothing, cond) + 1) * 127.5
    assert levels.flatten().tolist() == pytest.approx([0, 0, 127, 128, 255, 255], abs=1e-3)
    assert torch.equal(smooth.estimate(x, nothing, cond), x)


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
    with pytest.raises(UserError, match=r"denoiser: sigma_data > 0 and sigma_change > 0, got 0\.5 and 0\.0"):
        EdmConfig(network=NETWORK, sigma_change=0.0)


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


def make_denoiser(num_autoregressive_steps: int = 2) -> EdmDenoiser:
    torch.manual_seed(0)
    denoiser = EdmDenoiser(
        EdmConfig(network=NETWORK, num_autoregressive_steps=num_autoregressive_steps), 3, FOUR
    )
    for parameter in denoiser.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return denoiser


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


def test_samples_depend_on_the_generator_and_on_nothing_else() -> None:
    denoiser = make_denoiser()
    past, action = torch.rand(2, 2, 3, 8, 8), torch.zeros(2, 2).long()
    one, two, other = (
        sample(denoiser, past, action, SamplerConfig(), generator=seeded(s)) for s in (0, 0, 1)
    )
    assert torch.equal(one, two) and not torch.equal(one, other)
    noise = torch.randn((2, 3, 8, 8), generator=seeded(0))
    assert torch.equal(one, sample(denoiser, past, action, SamplerConfig(), noise))
    assert one.shape == (2, 3, 8, 8) and one.abs().max() <= 1 and not one.requires_grad


def test_segments_cover_context_and_targets() -> None:
    assert EdmConfig().segment_length == 4 + 1 + 1
    assert EdmConfig(network=NETWORK, num_autoregressive_steps=3).segment_length == 2 + 1 + 3


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(UserError, match="sigma_data > 0"):
        EdmConfig(sigma_data=0.0)
    with pytest.raises(UserError, match="0 < sigma_min <= sigma_max"):
        EdmConfig(sigma_min=30.0)


def test_size_of_the_paper_s_denoiser() -> None:
    with torch.device("meta"):
        denoiser = EdmDenoiser(EdmConfig(), 3, FOUR)
    assert sum(p.numel() for p in denoiser.parameters()) == 4_405_955
