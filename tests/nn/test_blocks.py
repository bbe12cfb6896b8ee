"""The convolutional blocks against hand-made counterparts, and how their weights start."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from adamas.core import runtime
from adamas.nn.blocks import (
    AdaGroupNorm,
    Downsample,
    GroupNorm,
    ResBlock,
    ResBlocks,
    SelfAttention2d,
    SmallResBlock,
    Upsample,
    init_lstm,
    num_groups,
)


@pytest.mark.parametrize(
    ("channels", "groups"), [(1, 1), (16, 1), (32, 1), (63, 1), (64, 2), (96, 3), (128, 4)]
)
def test_one_group_for_every_32_channels(channels: int, groups: int) -> None:
    assert num_groups(channels) == groups
    assert GroupNorm(channels).norm.num_groups == groups
    assert AdaGroupNorm(channels, 4).num_groups == groups


def test_group_norm_by_hand() -> None:
    x = torch.randn(2, 64, 3, 3)
    halves = x.view(2, 2, 32 * 9)  # two groups of 32 channels
    mean, var = halves.mean(-1, keepdim=True), halves.var(-1, keepdim=True, unbiased=False)
    expected = ((halves - mean) / (var + 1e-5).sqrt()).view_as(x)
    torch.testing.assert_close(GroupNorm(64)(x), expected)


def test_ada_group_norm_is_plain_where_scale_and_shift_are_zero() -> None:
    norm, x = AdaGroupNorm(8, 4), torch.randn(2, 8, 3, 3)
    nn.init.zeros_(norm.linear.bias)
    torch.testing.assert_close(norm(x, torch.zeros(2, 4)), F.group_norm(x, 1))


def test_ada_group_norm_scales_and_shifts_each_sample_by_its_own_condition() -> None:
    norm, x = AdaGroupNorm(2, 1), torch.randn(2, 2, 3, 3)
    norm.linear.weight.data = torch.tensor([[1.0], [2.0], [3.0], [4.0]])  # scales, then shifts
    nn.init.zeros_(norm.linear.bias)
    y, plain = norm(x, torch.tensor([[0.0], [0.5]])), F.group_norm(x, 1)
    torch.testing.assert_close(y[0], plain[0])
    torch.testing.assert_close(y[1, 0], 1.5 * plain[1, 0] + 1.5)
    torch.testing.assert_close(y[1, 1], 2.0 * plain[1, 1] + 2.0)


def test_attention_starts_as_the_normalised_input() -> None:
    attention, x = SelfAttention2d(16), 3 + 5 * torch.randn(2, 16, 4, 3)
    assert attention.num_heads == 2
    assert not any(p.any() for p in attention.out_proj.parameters())
    torch.testing.assert_close(attention(x), F.group_norm(x, 1))  # not x itself


def test_attention_by_hand() -> None:
    attention, x = SelfAttention2d(16), torch.randn(1, 16, 2, 3)
    nn.init.normal_(attention.out_proj.weight)
    h = attention.norm(x).flatten(2)[0]  # (16 channels, 6 pixels)
    weight, bias = attention.qkv_proj.parameters()
    q, k, v = (weight[:, :, 0, 0] @ h + bias[:, None]).chunk(3)
    heads = []
    for head in (slice(0, 8), slice(8, 16)):
        weight = (q[head].T @ k[head] / 8**0.5).softmax(dim=-1)  # (6 queries, 6 keys)
        heads.append(v[head] @ weight.T)
    expected = h + attention.out_proj.weight[:, :, 0, 0] @ torch.cat(heads)
    torch.testing.assert_close(attention(x).flatten(2)[0], expected)


@pytest.mark.parametrize(("size", "half"), [((8, 6), (4, 3)), ((7, 5), (4, 3)), ((1, 1), (1, 1))])
def test_down_and_up(size: tuple[int, int], half: tuple[int, int]) -> None:
    x = torch.randn(2, 4, *size)
    assert Downsample(4)(x).shape[-2:] == half
    assert Upsample(4)(x).shape[-2:] == (2 * size[0], 2 * size[1])


def test_upsample_repeats_pixels_before_it_convolves() -> None:
    up, x = Upsample(1), torch.tensor([[[[1.0, 2.0]]]])
    nn.init.dirac_(up.conv.weight)
    nn.init.zeros_(up.conv.bias)  # type: ignore[arg-type]
    assert up(x)[0, 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2]]


def test_downsample_starts_orthogonal() -> None:
    weight = Downsample(8).conv.weight.flatten(1)  # (8, 8 * 9)
    torch.testing.assert_close(weight @ weight.T, torch.eye(8), atol=1e-5, rtol=0)


def test_a_fresh_residual_block_passes_its_input_on() -> None:
    block, x, cond = ResBlock(8, 8, 4, attn=False), torch.randn(2, 8, 5, 5), torch.randn(2, 4)
    assert isinstance(block.proj, nn.Identity) and isinstance(block.attn, nn.Identity)
    assert not block.conv2.weight.any() and block.conv2.bias is not None and block.conv2.bias.any()
    torch.testing.assert_close(block(x, cond), x + block.conv2.bias[None, :, None, None])
    wider = ResBlock(8, 12, 4, attn=True)
    assert isinstance(wider.proj, nn.Conv2d) and isinstance(wider.attn, SelfAttention2d)
    assert wider(x, cond).shape == (2, 12, 5, 5)


def test_blocks_in_a_row_concatenate_skips_and_return_every_output() -> None:
    blocks = ResBlocks([4 + 2, 8 + 3], [8, 8], 5, attn=False)
    x, cond = torch.randn(1, 4, 3, 3), torch.randn(1, 5)
    skips = [torch.randn(1, 2, 3, 3), torch.randn(1, 3, 3, 3)]
    y, outputs = blocks(x, cond, skips)
    first = blocks.resblocks[0](torch.cat((x, skips[0]), dim=1), cond)
    torch.testing.assert_close(outputs[0], first)
    torch.testing.assert_close(y, blocks.resblocks[1](torch.cat((first, skips[1]), dim=1), cond))
    assert outputs[1] is y


def test_small_residual_block_by_hand() -> None:
    block, x = SmallResBlock(4, 4), torch.randn(2, 4, 5, 5)
    weight, bias = block.f[2].parameters()
    expected = x + F.conv2d(F.silu(F.group_norm(x, 1)), weight, bias, padding=1)
    torch.testing.assert_close(block(x), expected)
    assert SmallResBlock(4, 6)(x).shape == (2, 6, 5, 5)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.LSTMCell])
def test_lstm_starts_orthogonal_with_open_forget_gates(kind: type[nn.LSTM] | type[nn.LSTMCell]) -> None:
    lstm = kind(20, 6)
    init_lstm(lstm)
    parameters = {name.removesuffix("_l0"): p for name, p in lstm.named_parameters()}
    gram = parameters["weight_hh"].T @ parameters["weight_hh"]  # (6, 6)
    torch.testing.assert_close(gram, torch.eye(6), atol=1e-5, rtol=0)
    bound = (6 / (20 + 24)) ** 0.5  # Xavier: sqrt(6 / (fan_in + fan_out))
    assert 0.9 * bound < parameters["weight_ih"].abs().max() <= bound
    assert parameters["bias_ih"].tolist() == [0] * 6 + [1] * 6 + [0] * 12  # input, forget, cell, output
    assert not parameters["bias_hh"].any()


def test_activations_computed_again_save_memory_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    blocks = ResBlocks([8, 8], [8, 8], 4, attn=True)
    for parameter in blocks.parameters():
        nn.init.normal_(parameter, std=0.3)
    x, cond = torch.randn(2, 8, 9, 9, requires_grad=True), torch.randn(2, 4)

    def measure() -> tuple[int, list[torch.Tensor]]:
        kept = 0

        def count(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal kept
            kept += tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            loss = blocks(x, cond)[0].square().sum()
        return kept, list(torch.autograd.grad(loss, [x, *blocks.parameters()]))

    kept, gradients = measure()
    monkeypatch.setattr(runtime._mode, "checkpoint_activations", True)
    kept_less, same = measure()
    assert kept_less < kept / 3
    assert all(torch.equal(a, b) for a, b in zip(gradients, same, strict=True))
