"""Every policy for frames sees uint8 pixels and the same frames as floats alike."""

from __future__ import annotations

import pytest
import torch

from adamas.core.actions import ActionSpec
from adamas.core.types import to_model_range
from adamas.rl.actor_critic import ActorCriticConfig
from adamas.rl.plain_actor_critic import PlainActorCriticConfig
from adamas.rl.policy import PolicyConfig
from tests.helpers.tensors import seeded

CONFIGS = (
    ActorCriticConfig(lstm_dim=8, channels=(8, 8), down=(True, False)),
    PlainActorCriticConfig(lstm_dim=8, channels=(8, 8)),
)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.kind)
def test_pixels_and_floats_are_the_same(config: PolicyConfig) -> None:
    policy = config.build((3, 8, 8), ActionSpec.numbered(3))
    pixels = torch.randint(256, (4, 3, 8, 8), generator=seeded()).to(torch.uint8)
    state = policy.initial_state(4)
    of_pixels, of_floats = policy(pixels, state), policy(to_model_range(pixels), state)
    assert torch.equal(of_pixels.value, of_floats.value)
    torch.nn.init.normal_(policy.get_parameter("critic_linear.weight"))  # heads may begin as zeros
    assert not torch.equal(policy(pixels, state).value, policy(pixels.flip(0), state).value)
