"""Published two-stage models: the stages of a file, and files that hold something else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from adamas.core.errors import UserError
from adamas.diffusion.denoiser import sample
from adamas.diffusion.samplers import SamplerConfig
from adamas.interop.two_stage import load_two_stage
from adamas.nn.unet import FrameNetworkConfig

if TYPE_CHECKING:
    from tests.conftest import LoadReference


@pytest.fixture
def published(reference: LoadReference) -> dict[str, Tensor]:
    """Recorded weights under the names that a published file has for them."""
    parts = {"denoiser": "two_stage_denoiser", "upsampler": "upsampler"}
    return {
        f"{prefix}.{key}": tensor
        for prefix, name in parts.items()
        for key, tensor in reference(name).weights.items()
    }


def test_there_and_back(reference: LoadReference, published: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(published, tmp_path / "csgo.pt")
    before = torch.get_rng_state()
    stages = load_two_stage(tmp_path / "csgo.pt")
    assert torch.equal(before, torch.get_rng_state())
    denoiser, upsampler = stages
    assert denoiser.config.network == FrameNetworkConfig(
        4, 32, (1, 1, 1), (16, 16, 32), (False, False, True), noise_cond=True
    )
    assert denoiser.config.noise_previous_obs and denoiser.config.sigma_offset == 0.1
    assert upsampler.config.network == FrameNetworkConfig(
        1, 32, (1, 1), (16, 16), (False, True), noise_cond=True
    )
    assert not upsampler.config.noise_previous_obs and upsampler.config.factor == 5
    assert not denoiser.training and not upsampler.training

    again = {
        f"{name}.{key}": tensor
        for name, stage in stages._asdict().items()
        for key, tensor in stage.state_dict().items()
    }
    assert again.keys() == published.keys()
    assert all(torch.equal(again[key], published[key]) for key in published)

    io = reference("two_stage_denoiser").io
    arguments = io["obs"], io["act_multi_binary"], SamplerConfig(), io["sample_initial_noise"]
    frame = sample(denoiser, *arguments)
    off = (frame - io["sample_order1_steps3_no_cond_noise"]).abs() > 1e-4
    assert off.float().mean() <= 1e-3
    past = torch.zeros(2, 1, 3, 75, 140)
    assert upsampler.sample(past, frame, SamplerConfig(1)).shape == (2, 3, 75, 140)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"actor_critic.x": torch.zeros(1)}, "a two-stage model: actor_critic.x is unexpected"),
        (
            {"denoiser.inner_model.act_emb.0.weight": None},
            "no tensor is named 'inner_model.act_emb.0.weight'",
        ),
        ({"denoiser.inner_model.noise_cond_emb.weight": None}, "shapes do not fit together .*noise_cond"),
        (
            {"upsampler.inner_model.conv_in.weight": torch.zeros(16, 6, 3, 3)},
            "context_length must be at least 1",
        ),
        (
            {"upsampler.inner_model.conv_in.bias": None},
            "the upsampler of a two-stage model: inner_model.conv_in.bias is missing",
        ),
        ({"denoiser.inner_model.conv_in.bias": torch.zeros(3)}, r"the denoiser of .*bias is \(3,\)"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    change: dict[str, Tensor | None], message: str, published: dict[str, Tensor], tmp_path: Path
) -> None:
    changed = {name: tensor for name, tensor in (published | change).items() if tensor is not None}
    torch.save(changed, tmp_path / "csgo.pt")
    with pytest.raises(UserError, match=rf"csgo.pt does not hold .*{message}.*; get the file again") as error:
        load_two_stage(tmp_path / "csgo.pt")
    assert "\n" not in str(error.value)


def test_a_file_without_upsampler_is_refused(published: dict[str, Tensor], tmp_path: Path) -> None:
    first = {name: tensor for name, tensor in published.items() if name.startswith("denoiser.")}
    torch.save(first, tmp_path / "one.pt")
    with pytest.raises(
        UserError, match=r"one.pt has no tensors named upsampler\.\*: .*load it with adamas.load"
    ):
        load_two_stage(tmp_path / "one.pt")
