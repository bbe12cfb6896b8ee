"""The actor-critic against recorded values, and how actions are drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Generator, Tensor, nn

from adamas.core.errors import UserError
from adamas.core.types import to_pixels
from adamas.rl.actor_critic import ActorCritic, ActorCriticConfig, sample_action

if TYPE_CHECKING:
    from tests.conftest import LoadReference

SMALL = ActorCriticConfig(8, (8, 8), (True, False))


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def test_four_frames_as_recorded(reference: LoadReference) -> None:
    config, weights, io = reference("actor_critic")
    size = config["img_size"]
    policy = ActorCritic(
        ActorCriticConfig(config["lstm_dim"], tuple(config["channels"]), tuple(map(bool, config["down"]))),
        (config["img_channels"], size, size),
        config["num_actions"],
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
    policy = ActorCritic(SMALL, (3, 8, 8), 4)
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
    policy = ActorCritic(SMALL, (3, 8, 8), 4)
    obs = torch.randint(256, (5, 3, 8, 8), generator=seeded()).to(torch.uint8)
    output = policy(obs, policy.initial_state(5))
    assert not output.logits.any() and not output.value.any()
    assert not any(s.any() for s in policy.initial_state(5))
    loss = output.value.sum() + output.logits[:, 0].sum()
    loss.backward()
    assert policy.actor_linear.weight.grad is not None and policy.actor_linear.weight.grad.any()


def test_sizes() -> None:
    policy = ActorCritic(SMALL, (3, 9, 6), 4)  # one pooling: 4x3
    assert policy.lstm.input_size == 8 * 4 * 3
    policy(torch.zeros(1, 3, 9, 6, dtype=torch.uint8), policy.initial_state(1))
    with torch.device("meta"):
        paper = ActorCritic(ActorCriticConfig(), (3, 64, 64), 4)
    assert paper.lstm.input_size == 64 * 4 * 4
    assert sum(p.numel() for p in paper.parameters()) == 3_229_637
    with pytest.raises(UserError, match="4 poolings leave nothing of a 8x8 image"):
        ActorCritic(ActorCriticConfig(), (3, 8, 8), 4)
    with pytest.raises(UserError, match="got 4 and 1"):
        ActorCriticConfig(down=(True,))


def frequencies(logits: list[float], temperature: float = 1.0, epsilon: float = 0.0) -> Tensor:
    draws = 20_000
    action = sample_action(torch.tensor([logits]).expand(draws, -1), seeded(), temperature, epsilon)
    assert action.shape == (draws,) and action.dtype == torch.int64
    return action.bincount(minlength=len(logits)) / draws


@pytest.mark.parametrize(
    ("temperature", "epsilon", "expected"),
    [
        (1.0, 0.0, [0.1, 0.2, 0.7]),
        (0.5, 0.0, [0.01 / 0.54, 0.04 / 0.54, 0.49 / 0.54]),  # squared, normalised
        (0.0, 0.0, [0.0, 0.0, 1.0]),
        (1.0, 1.0, [1 / 3, 1 / 3, 1 / 3]),
        (0.0, 0.3, [0.1, 0.1, 0.8]),
    ],
)
def test_frequencies(temperature: float, epsilon: float, expected: list[float]) -> None:
    logits = torch.tensor([0.1, 0.2, 0.7]).log().tolist()
    torch.testing.assert_close(
        frequencies(logits, temperature, epsilon), torch.tensor(expected), atol=0.012, rtol=0
    )


def test_actions_depend_on_the_generator_and_on_their_own_logits() -> None:
    logits = torch.tensor([[9e3, 0.0], [0.0, 9e3]])
    assert sample_action(logits, seeded()).tolist() == [0, 1]
    flat = torch.zeros(50, 4)
    assert torch.equal(sample_action(flat, seeded(1)), sample_action(flat, seeded(1)))
    assert not torch.equal(sample_action(flat, seeded(1)), sample_action(flat, seeded(2)))
