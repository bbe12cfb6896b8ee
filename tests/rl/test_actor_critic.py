"""The actor-critic against recorded values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.core.types import to_pixels
from adamas.rl.actor_critic import ActorCritic, ActorCriticConfig
from tests.helpers.tensors import seeded

if TYPE_CHECKING:
    from tests.conftest import LoadReference

SMALL = ActorCriticConfig(lstm_dim=8, channels=(8, 8), down=(True, False))


def test_four_frames_as_recorded(reference: LoadReference) -> None:
    config, weights, io = reference("actor_critic")
    size = config["img_size"]
    policy = ActorCritic(
        ActorCriticConfig(
            lstm_dim=config["lstm_dim"],
            channels=tuple(config["channels"]),
            down=tuple(map(bool, config["down"])),
        ),
        (config["img_channels"], size, size),
        ActionSpec.numbered(config["num_actions"]),
    )
    policy.load_state_dict(weights)
    hidden, cell = policy.initial_state(len(io["obs"]))
    with torch.no_grad():
        for t in range(io["obs"].shape[1]):  # recorded frames are floats, the policy's own door takes pixels
            hidden, cell = policy.lstm(policy.encoder(io["obs"][:, t]), (hidden, cell))
            logits, value = policy.actor_linear(hidden), policy.critic_linear(hidden)[:, 0]
            torch.testing.assert_close(logits, io["logits_act"][:, t], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(value, io["value"][:, t], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(hidden, io["hx"], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(cell, io["cx"], atol=1e-4, rtol=1e-4)


def test_pixels_enter_in_model_range() -> None:
    policy = ActorCritic(SMALL, (3, 8, 8), ActionSpec.numbered(4))
    nn.init.normal_(policy.actor_linear.weight)
    obs = torch.randint(256, (2, 3, 8, 8), generator=seeded()).to(torch.uint8)
    state = policy.initial_state(2)
    output = policy(obs, state)
    hidden, cell = policy.lstm(policy.encoder(obs / 127.5 - 1), state)
    torch.testing.assert_close(output.logits, policy.actor_linear(hidden))
    torch.testing.assert_close(output.state, (hidden, cell))
    assert output.logits.shape == (2, 4) and output.value.shape == (2,)
    assert to_pixels(obs / 127.5 - 1).equal(obs)


def test_a_fresh_policy_is_uniform_and_expects_nothing() -> None:
    policy = ActorCritic(SMALL, (3, 8, 8), ActionSpec.numbered(4))
    obs = torch.randint(256, (5, 3, 8, 8), generator=seeded()).to(torch.uint8)
    output = policy(obs, policy.initial_state(5))
    assert not output.logits.any() and not output.value.any()
    assert not any(s.any() for s in policy.initial_state(5))
    loss = output.value.sum() + output.logits[:, 0].sum()
    loss.backward()
    assert policy.actor_linear.weight.grad is not None and policy.actor_linear.weight.grad.any()


def test_sizes() -> None:
    policy = ActorCritic(SMALL, (3, 9, 6), ActionSpec.numbered(4))  # one pooling: 4x3
    assert policy.lstm.input_size == 8 * 4 * 3
    policy(torch.zeros(1, 3, 9, 6, dtype=torch.uint8), policy.initial_state(1))
    with torch.device("meta"):
        paper = ActorCritic(ActorCriticConfig(), (3, 64, 64), ActionSpec.numbered(4))
    assert paper.lstm.input_size == 64 * 4 * 4
    assert sum(p.numel() for p in paper.parameters()) == 3_229_637
    with pytest.raises(UserError, match="4 poolings leave nothing of a 8x8 image"):
        ActorCritic(ActorCriticConfig(), (3, 8, 8), ActionSpec.numbered(4))
    with pytest.raises(UserError, match="got 4 and 1"):
        ActorCriticConfig(down=(True,))
