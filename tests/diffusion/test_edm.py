"""The denoiser against recorded values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.diffusion.denoiser import sample
from adamas.diffusion.edm import EdmConfig, EdmDenoiser
from adamas.diffusion.samplers import SamplerConfig, sample_path

if TYPE_CHECKING:
    from tests.conftest import LoadReference
from tests.helpers.tensors import close, close_in_levels, seeded
from tests.helpers.tiny_denoiser import FOUR, NETWORK, make_denoiser

Recorded = tuple[EdmDenoiser, dict[str, Tensor]]


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
    with pytest.raises(UserError, match=r"`sigma_data` is 0.0; it must be above 0"):
        EdmConfig(sigma_data=0.0)
    with pytest.raises(UserError, match=r"`sigma_max` is 20.0; it must be at least 30.0"):
        EdmConfig(sigma_min=30.0)


def test_size_of_the_paper_s_denoiser() -> None:
    with torch.device("meta"):
        denoiser = EdmDenoiser(EdmConfig(), 3, FOUR)
    assert sum(p.numel() for p in denoiser.parameters()) == 4_405_955
