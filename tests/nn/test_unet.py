"""The U-Net and the frame network: any size of frame, order of actions, number of weights."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.nn.blocks import SelfAttention2d
from adamas.nn.unet import FrameNetwork, FrameNetworkConfig, UNet
from tests.helpers.tiny_agent import fill_zeros

SMALL = FrameNetworkConfig(
    context_length=2,
    cond_channels=16,
    depths=(1, 2, 1),
    channels=(8, 16, 16),
    attn_depths=(False, True, False),
)


def shake(module: nn.Module) -> None:
    """Give the layers that start at zero something to say."""
    torch.manual_seed(0)
    fill_zeros(module, std=0.2)


@pytest.fixture
def unet() -> UNet:
    unet = UNet(16, SMALL.depths, SMALL.channels, SMALL.attn_depths)
    shake(unet)
    return unet


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (9, 8), (5, 7), (11, 13)])
def test_any_size_goes_in_and_comes_out(unet: UNet, size: tuple[int, int]) -> None:
    x, cond = torch.randn(2, 8, *size), torch.randn(2, 16)
    assert unet(x, cond).shape == (2, 8, *size)


def test_odd_sizes_are_padded_with_zeros_at_the_bottom_and_right(unet: UNet) -> None:
    x, cond = torch.randn(1, 8, 6, 7), torch.randn(1, 16)
    by_hand = unet(F.pad(x, (0, 1, 0, 2)), cond)[..., :6, :7]
    torch.testing.assert_close(unet(x, cond), by_hand)
    other_corner = unet(F.pad(x, (1, 0, 2, 0)), cond)[..., 2:, 1:]
    assert (unet(x, cond) - other_corner).abs().max() > 1e-3


def test_every_skip_is_used(unet: UNet) -> None:
    """Cutting the skips of one level changes the output, whichever level it is."""
    x, cond = torch.randn(1, 8, 8, 8), torch.randn(1, 16)
    whole = unet(x, cond)
    for blocks in unet.u_blocks:

        def cut(module: nn.Module, args: tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]) -> object:
            return args[0], args[1], [torch.zeros_like(skip) for skip in args[2]]

        handle = blocks.register_forward_pre_hook(cut)
        assert (unet(x, cond) - whole).abs().max() > 1e-3
        handle.remove()
    torch.testing.assert_close(unet(x, cond), whole)


def depth(blocks: nn.Module) -> int:
    return len({name.split(".")[1] for name in blocks.state_dict()})  # resblocks.0, resblocks.1, ...


def test_attention_is_where_it_was_asked_for_and_always_in_the_middle(unet: UNet) -> None:
    where = {name.rsplit(".", 3)[0] for name, m in unet.named_modules() if isinstance(m, SelfAttention2d)}
    assert where == {"d_blocks.1", "mid_blocks", "u_blocks.1"}
    assert [depth(b) for b in unet.d_blocks] == [1, 2, 1]
    assert [depth(b) for b in unet.u_blocks] == [2, 3, 2]  # mirrored, one more


def make_network() -> FrameNetwork:
    network = FrameNetwork(SMALL, img_channels=3, action_spec=ActionSpec.numbered(5))
    shake(network)
    return network


def test_a_fresh_network_answers_a_constant() -> None:
    network = FrameNetwork(SMALL, img_channels=3, action_spec=ActionSpec.numbered(5))
    assert not network.conv_out.weight.any()
    y = network(torch.randn(2, 3, 8, 8), torch.zeros(2), torch.randn(2, 2, 3, 8, 8), torch.zeros(2, 2).long())
    assert network.conv_out.bias is not None
    torch.testing.assert_close(y, network.conv_out.bias[None, :, None, None].expand_as(y))


def test_everything_it_is_given_matters_and_so_does_its_order() -> None:
    network = make_network()
    noisy, c_noise = torch.randn(1, 3, 8, 8), torch.tensor([0.1])
    obs, action = torch.randn(1, 2, 3, 8, 8), torch.tensor([[1, 4]])
    y = network(noisy, c_noise, obs, action)
    assert y.shape == (1, 3, 8, 8)
    others = {
        "noisy frame": (noisy + 0.1, c_noise, obs, action),
        "noise level": (noisy, c_noise + 0.1, obs, action),
        "past frames": (noisy, c_noise, obs + 0.1, action),
        "order of past frames": (noisy, c_noise, obs.flip(1), action),
        "last action": (noisy, c_noise, obs, torch.tensor([[1, 3]])),
        "order of actions": (noisy, c_noise, obs, action.flip(1)),
    }
    for what, arguments in others.items():
        assert (network(*arguments) - y).abs().max() > 1e-3, what


def test_the_noisy_frame_comes_last_and_the_oldest_first() -> None:
    network = make_network()
    seen = []
    network.conv_in.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    obs, noisy = torch.randn(1, 2, 3, 8, 8), torch.randn(1, 3, 8, 8)
    network(noisy, torch.zeros(1), obs, torch.zeros(1, 2).long())
    torch.testing.assert_close(seen[0], torch.cat((obs[:, 0], obs[:, 1], noisy), dim=1))


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match="one entry per level, got 3, 2 and 3"):
        dataclasses.replace(SMALL, channels=(8, 8))
    with pytest.raises(
        UserError,
        match=r"`network.cond_channels` is 18; it must be a multiple of 4, twice `network.context_length`",
    ):
        dataclasses.replace(SMALL, cond_channels=18)


def test_levels_that_cannot_be_joined_are_refused() -> None:
    with pytest.raises(UserError, match=r"skip connections .*: 112 channels .* use a multiple of 32"):
        FrameNetworkConfig(
            context_length=2, cond_channels=16, depths=(1, 1), channels=(48, 64), attn_depths=(False, False)
        )
    FrameNetworkConfig(
        context_length=2, cond_channels=16, depths=(1, 1), channels=(32, 48), attn_depths=(False, False)
    )
