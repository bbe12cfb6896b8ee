"""Published two-stage models: the stages of a file, and files that hold something else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

import adamas
from adamas.core.errors import UserError
from adamas.diffusion.denoiser import sample
from adamas.diffusion.edm import EdmConfig
from adamas.diffusion.samplers import SamplerConfig
from adamas.interop.published import load_published, save_published
from adamas.nn.unet import FrameNetworkConfig
from tests.helpers.diamond import model_config

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
    agent = adamas.load(tmp_path / "csgo.pt", "cpu")
    assert torch.equal(before, torch.get_rng_state())
    config, model = model_config(agent.config), agent.world_model
    assert config.denoiser.network == FrameNetworkConfig(
        context_length=4,
        cond_channels=32,
        depths=(1, 1, 1),
        channels=(16, 16, 32),
        attn_depths=(False, False, True),
        noise_cond=True,
    )
    assert (
        isinstance(config.denoiser, EdmConfig)
        and config.denoiser.noise_previous_obs
        and config.denoiser.sigma_offset == 0.1
    )
    assert config.upsampler is not None and config.upsampler.network == FrameNetworkConfig(
        context_length=1,
        cond_channels=32,
        depths=(1, 1),
        channels=(16, 16),
        attn_depths=(False, True),
        noise_cond=True,
    )
    assert not config.upsampler.noise_previous_obs and config.upsampler.factor == 5
    assert config.sampler == SamplerConfig(num_steps=3, s_cond=0.005)
    assert not model.training
    again = model.state_dict()
    assert again.keys() == published.keys()
    assert all(torch.equal(again[key], published[key]) for key in published)

    io = reference("two_stage_denoiser").io
    arguments = io["obs"], io["act_multi_binary"], SamplerConfig(), io["sample_initial_noise"]
    frame = sample(agent.denoiser, *arguments)
    off = (frame - io["sample_order1_steps3_no_cond_noise"]).abs() > 1e-4
    assert off.float().mean() <= 1e-3

    with pytest.raises(UserError, match="predicts neither rewards nor ends"):
        _ = agent.reward_end
    with pytest.raises(
        UserError, match="of one stage on stacked frames, without sigma_change, and a reward/end model; keep"
    ):
        save_published(agent, tmp_path / "again.pt")
    with pytest.raises(
        UserError, match="this agent has no policy: its world model was trained on recordings"
    ):
        agent.act(torch.zeros(1, *agent.config.obs_shape).byte())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"actor_critic.x": torch.zeros(1)}, "an agent: actor_critic.x is unexpected"),
        (
            {"denoiser.inner_model.act_emb.0.weight": None},
            "no tensor is named 'inner_model.act_emb.0.weight'",
        ),
        ({"denoiser.inner_model.noise_cond_emb.weight": None}, "shapes do not fit together .*noise_cond"),
        (
            {"upsampler.inner_model.conv_in.weight": torch.zeros(16, 6, 3, 3)},
            "`network.context_length` is 0; it must be at least 1",
        ),
        (
            {"upsampler.inner_model.conv_in.bias": None},
            "an agent: world_model.upsampler.inner_model.conv_in.bias is missing",
        ),
        (
            {"denoiser.inner_model.conv_in.bias": torch.zeros(3)},
            r"denoiser.inner_model.conv_in.bias is \(3,\)",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    change: dict[str, Tensor | None], message: str, published: dict[str, Tensor], tmp_path: Path
) -> None:
    changed = {name: tensor for name, tensor in (published | change).items() if tensor is not None}
    torch.save(changed, tmp_path / "csgo.pt")
    with pytest.raises(UserError, match=rf"csgo.pt does not hold .*{message}.*; get the file again") as error:
        load_published(tmp_path / "csgo.pt")
    assert "\n" not in str(error.value)
