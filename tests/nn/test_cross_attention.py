"""Past frames that are attended to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from adamas.core.actions import ActionSpec
from adamas.core.config import from_dict, to_dict
from adamas.core.errors import UserError
from adamas.core.types import Batch
from adamas.diffusion.ddpm import DdpmConfig
from adamas.diffusion.edm import EdmConfig
from adamas.diffusion.upsampler import Upsampler, UpsamplerConfig
from adamas.nn.cross_attention import CrossAttention2d, positions
from adamas.nn.unet import FrameNetwork, FrameNetworkConfig
from adamas.world_models.diamond.world import DENOISERS, DenoiserConfig
from tests.helpers.tiny_agent import fill_zeros, tiny_network

SPEC = ActionSpec.numbered(5)
STACKED = FrameNetworkConfig(
    context_length=2, cond_channels=16, depths=(1, 2, 1), channels=(8, 16, 16), attn_depths=(False,) * 3
)
CONFIG = replace(STACKED, context="cross_attention")


def shake(module: nn.Module) -> None:
    torch.manual_seed(0)
    fill_zeros(module, std=0.2)


def make(extra_frames: int = 0, spec: ActionSpec | None = SPEC) -> FrameNetwork:
    torch.manual_seed(0)
    network = FrameNetwork(CONFIG, 3, spec, extra_frames)
    shake(network)
    return network


def inputs(height: int = 8, width: int = 12) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    return (
        torch.randn(2, 3, height, width),
        torch.zeros(2),
        torch.randn(2, 2, 3, height, width),
        torch.tensor([[0, 3], [4, 1]]),
    )


def test_stacked_frames_have_the_weights_they_always_had() -> None:
    assert not any("cross" in name or "past" in name for name in FrameNetwork(STACKED, 3, SPEC).state_dict())


def test_a_pixel_finds_the_one_that_it_looks_for() -> None:
    """One head that asks and answers with the second channel alone: the value is that of the pixel that has it."""
    attention = CrossAttention2d(2)
    for parameter in attention.parameters():
        nn.init.zeros_(parameter)
    attention.norm, attention.past_norm = nn.Identity(), nn.Identity()  # type: ignore[assignment]
    with torch.no_grad():
        attention.q_proj.weight[1, 1] = 100.0
        attention.kv_proj.weight[1, 1] = 1.0  # the key is the second channel
        attention.kv_proj.weight[2, 0] = 1.0  # the value is the first
        attention.out_proj.weight[0, 0] = 1.0
    past = torch.zeros(1, 3, 2, 4, 5)
    past[0, 1, :, 3, 0] = torch.tensor([7.0, 1.0])
    x = torch.zeros(1, 2, 4, 5)
    x[0, 1, 0, 4] = 1.0  # asks for it, from the opposite corner
    found = attention(x, past)[0, 0]
    assert found[0, 4].item() == pytest.approx(7.0, abs=1e-4)
    assert found[2, 2].item() == pytest.approx(7 / 60, abs=1e-4)  # who asks for nothing gets the mean of all


def test_positions_differ_from_pixel_to_pixel() -> None:
    places = positions(7, 9, torch.zeros(1))[0].flatten(1).T  # (63, POSITION_CHANNELS)
    apart = torch.cdist(places, places) + torch.eye(63)
    assert apart.min() > 0.1


def test_positions_in_bf16_are_those_of_fp32_rounded() -> None:
    exact = positions(48, 64, torch.zeros(1))
    rounded = positions(48, 64, torch.zeros(1, dtype=torch.bfloat16))
    assert rounded.dtype == torch.bfloat16 and torch.equal(rounded, exact.bfloat16())


def test_at_first_past_frames_are_not_looked_at() -> None:
    torch.manual_seed(0)
    network = FrameNetwork(CONFIG, 3, SPEC)
    nn.init.normal_(network.conv_out.weight)
    noisy, c_noise, past, action = inputs()
    assert torch.equal(network(noisy, c_noise, past, action), network(noisy, c_noise, -past, action))


@pytest.mark.parametrize("size", [(8, 8), (9, 14), (4, 5)])
def test_every_past_frame_counts_and_so_does_its_place(size: tuple[int, int]) -> None:
    network, (noisy, c_noise, past, action) = make(), inputs(*size)
    out = network(noisy, c_noise, past, action)
    assert out.shape == noisy.shape
    for t in range(2):
        other = past.clone()
        other[:, t] += 1
        assert not torch.allclose(network(noisy, c_noise, other, action), out, atol=1e-4)
    assert not torch.allclose(network(noisy, c_noise, past.flip(1), action), out, atol=1e-4)
    assert not torch.allclose(network(noisy, c_noise, past, action.flip(1)), out, atol=1e-4)


def test_what_is_far_away_is_within_reach() -> None:
    """One corner of the frame depends on the opposite one of every past frame: through attention, not normalisation."""
    torch.manual_seed(0)
    attention = CrossAttention2d(8)
    shake(attention)
    attention.norm, attention.past_norm = nn.Identity(), nn.Identity()  # type: ignore[assignment]
    past = torch.randn(1, 3, 8, 20, 20, requires_grad=True)
    attention(torch.randn(1, 8, 20, 20), past)[..., 0, 0].sum().backward()
    assert past.grad is not None and (past.grad[0, :, :, -1, -1].abs().amax(dim=1) > 1e-6).all()


def test_extra_frames_are_still_stacked_and_actions_may_be_missing() -> None:
    network, (noisy, c_noise, past, _) = make(1, None), inputs()
    assert network.conv_in.in_channels == 6
    with_extra = torch.cat((past, noisy[:, None]), dim=1)
    out = network(noisy, c_noise, with_extra, None)
    with_extra[:, 2] += 1
    assert not torch.allclose(network(noisy, c_noise, with_extra, None), out, atol=1e-4)


def test_all_weights_learn() -> None:
    network = make()
    network(*inputs()).square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())


@pytest.mark.parametrize(
    "config",
    [EdmConfig(network=CONFIG), DdpmConfig(network=CONFIG), UpsamplerConfig(network=CONFIG, factor=2)],
    ids=["edm", "ddpm", "upsampler"],
)
def test_every_model_of_frames_trains_on_rectangles(config: DenoiserConfig) -> None:
    """The upsampler's small frame lies where the noisy one does, so it stays stacked with it."""
    torch.manual_seed(0)
    model: Any = (
        Upsampler(config, 3)
        if isinstance(config, UpsamplerConfig)
        else DENOISERS[type(config)](config, 3, SPEC)
    )
    shake(model)
    obs = torch.randint(256, (2, config.segment_length, 3, 8, 12), dtype=torch.uint8)
    action = torch.ones(obs.shape[:2], dtype=torch.long)[:, 1:]
    flags = torch.zeros(action.shape, dtype=torch.bool)
    batch = Batch(
        obs=obs,
        action=action,
        reward=flags.float(),
        terminated=flags,
        truncated=flags,
        mask=torch.ones(obs.shape[:2], dtype=torch.bool),
    )
    model.loss(batch, torch.Generator().manual_seed(0))[0].backward()
    stacked = model.inner_model.conv_in.in_channels
    assert stacked == (6 if isinstance(config, UpsamplerConfig) else 3)
    assert model.inner_model.past is not None
    weights = model.inner_model.past.conv_in.weight
    assert weights.grad is not None and weights.grad.isfinite().all() and weights.grad.any()


def test_noise_in_past_frames_counts() -> None:
    network = FrameNetwork(replace(CONFIG, noise_cond=True), 3, SPEC)
    shake(network)
    noisy, c_noise, past, action = inputs()
    one, other = [network(noisy, c_noise, past, action, torch.full((2,), level)) for level in (-1.0, 0.5)]
    assert not torch.allclose(one, other, atol=1e-4)


def test_the_choice_is_kept_with_a_model_and_refused_where_it_cannot_be() -> None:
    assert from_dict(FrameNetworkConfig, to_dict(CONFIG)) == CONFIG
    before = {key: value for key, value in to_dict(STACKED).items() if key != "context"}
    assert from_dict(FrameNetworkConfig, before) == STACKED  # models from before there was a choice
    with pytest.raises(UserError, match="context"):
        from_dict(FrameNetworkConfig, to_dict(STACKED) | {"context": "attention"})
    with pytest.raises(UserError, match=r"cross_attention needs two levels; add one to `network\.channels`"):
        tiny_network(levels=1, context="cross_attention")
