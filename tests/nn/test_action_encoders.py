from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from adamas.core.actions import ActionSpec, Axis, Choice
from adamas.nn.actions import AxisEmbedding, ButtonEmbedding, action_encoder

GEAR, STEER = Choice(("1", "2", "3"), "gear"), Axis("steer", -2.0, 2.0)


def test_one_choice_is_a_plain_embedding() -> None:
    encoder = action_encoder(ActionSpec.numbered(5), 7)
    assert type(encoder) is nn.Embedding and encoder.weight.shape == (5, 7)


def test_buttons_add_up_those_that_are_pressed() -> None:
    encoder = action_encoder(ActionSpec(buttons=("w", "a", "d")), 4)
    assert isinstance(encoder, ButtonEmbedding)
    weight = encoder.weight
    assert torch.equal(encoder(torch.tensor([1, 0, 1])), weight[0] + weight[2])
    assert not encoder(torch.zeros(2, 5, 3)).any()
    assert encoder(torch.zeros(2, 5, 3)).shape == (2, 5, 4)


def test_axes_by_hand() -> None:
    encoder = action_encoder(ActionSpec(axes=(STEER,)), 3)
    assert isinstance(encoder, AxisEmbedding)
    x = 0.25  # the place of 0.5 between -2 and 2
    angles = [math.pi / 2 * x * f for f in (1, 2, 4, 8)]
    features = torch.tensor([x, *map(math.sin, angles), *map(math.cos, angles)])
    expected = encoder.linear.weight @ features + encoder.linear.bias
    torch.testing.assert_close(encoder(torch.tensor([0.5])), expected)


def test_positions_beyond_the_ends_count_as_the_ends() -> None:
    encoder = action_encoder(ActionSpec(axes=(STEER,)), 3)
    assert torch.equal(encoder(torch.tensor([[9.0], [-9.0]])), encoder(torch.tensor([[2.0], [-2.0]])))


def test_the_ends_are_not_weights() -> None:
    encoder = action_encoder(ActionSpec(axes=(STEER,)), 3)
    assert list(encoder.state_dict()) == ["linear.weight", "linear.bias"]


def test_parts_are_embedded_alone_and_added() -> None:
    spec = ActionSpec((GEAR, Choice(("on", "off"), "light")), ("horn",), (STEER,))
    encoder = action_encoder(spec, 6)
    parts: Any = encoder.parts
    gear, light, horn, steer = parts
    action = torch.tensor([[2.0, 1.0, 1.0, -0.5], [0.0, 0.0, 0.0, 1.0]])
    expected = (
        gear(torch.tensor([2, 0])) + light(torch.tensor([1, 0])) + horn(action[:, 2:3]) + steer(action[:, 3:])
    )
    torch.testing.assert_close(encoder(action), expected)
    assert encoder(action[:, None].expand(2, 3, 4)).shape == (2, 3, 6)


@pytest.mark.parametrize(
    "spec",
    [
        ActionSpec((GEAR,), ("horn",)),
        ActionSpec((), ("horn",), (STEER,)),
        ActionSpec((GEAR, Choice(("a", "b"), "light"))),
    ],
)
def test_every_part_learns(spec: ActionSpec) -> None:
    encoder = action_encoder(spec, 4)
    encoder(torch.ones(3, spec.size)).square().sum().backward()
    assert all(
        p.grad is not None and p.grad.any() for p in encoder.parameters() if p.numel() > 4 or p.ndim == 1
    )
