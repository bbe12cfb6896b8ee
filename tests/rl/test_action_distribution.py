from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.distributions as td
from torch import Tensor

from adamas.core.actions import ActionSpec, Axis, Choice
from adamas.core.errors import UserError
from adamas.rl.action_distribution import (
    check_temperature,
    log_prob_and_entropy,
    num_parameters,
    sample_action,
)
from tests.helpers.tensors import seeded

DISCRETE = ActionSpec.numbered(3)
KEYS = ActionSpec(buttons=("w", "a", "d"))
WHEEL = ActionSpec(axes=(Axis("steer"), Axis("gas", 0.0, 4.0)))
ALL = ActionSpec(
    (Choice(("a", "b"), "one"), Choice(("a", "b", "c"), "two")), ("fire",), (Axis("x", -2.0, 1.0),)
)
SPECS = pytest.mark.parametrize(
    "spec", [DISCRETE, KEYS, WHEEL, ALL], ids=["choice", "buttons", "axes", "all"]
)


def parameters(spec: ActionSpec, *shape: int) -> Tensor:
    return torch.randn(*shape, num_parameters(spec), generator=seeded(1))


def squashed(mean: Tensor, std: Tensor, axis: Axis) -> td.TransformedDistribution:
    transforms = [
        td.TanhTransform(),
        td.AffineTransform((axis.high + axis.low) / 2, (axis.high - axis.low) / 2),
    ]
    return td.TransformedDistribution(td.Normal(mean, std), transforms)


def std_of(spread: Tensor) -> Tensor:
    """From 0.1 to exp(0.5), and 1 at 0."""
    low = math.log(0.1)
    return (low + (0.5 - low) * torch.sigmoid(spread + math.log(-low / 0.5))).exp()


def test_how_many_numbers() -> None:
    assert [num_parameters(spec) for spec in (DISCRETE, KEYS, WHEEL, ALL)] == [3, 3, 4, 8]


@SPECS
def test_what_is_drawn_is_an_action(spec: ActionSpec) -> None:
    for temperature, epsilon in ((1.0, 0.0), (0.0, 0.0), (3.0, 0.5), (1.0, 1.0)):
        action = sample_action(spec, 5 * parameters(spec, 500), seeded(), temperature, epsilon)
        assert action.shape == (500, *spec.shape) and action.dtype == spec.dtype
        assert spec.problem(action.numpy()) == ""


@SPECS
def test_the_same_seed_draws_the_same(spec: ActionSpec) -> None:
    drawn = [sample_action(spec, parameters(spec, 9), seeded(seed), epsilon=0.3) for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


def test_probabilities_are_those_of_pytorchs_distributions() -> None:
    numbers = parameters(ALL, 50)
    action = sample_action(ALL, numbers, seeded())
    one, two, fire, mean, spread = numbers.split((2, 3, 1, 1, 1), dim=-1)
    axis = squashed(mean[:, 0], std_of(spread[:, 0]), ALL.axes[0])
    parts = [
        td.Categorical(logits=one).log_prob(action[:, 0]),
        td.Categorical(logits=two).log_prob(action[:, 1]),
        td.Bernoulli(logits=fire[:, 0]).log_prob(action[:, 2]),
        axis.log_prob(action[:, 3].double()).float(),
    ]
    log_prob, _ = log_prob_and_entropy(ALL, numbers, action)
    torch.testing.assert_close(log_prob, sum(parts, torch.zeros(50)), atol=2e-3, rtol=1e-3)


def test_entropies_of_choices_and_buttons_are_pytorchs() -> None:
    numbers = parameters(ActionSpec(ALL.choices, ALL.buttons), 2, 5)
    spec = ActionSpec(ALL.choices, ALL.buttons)
    one, two, fire = numbers.split((2, 3, 1), dim=-1)
    expected = td.Categorical(logits=one).entropy() + td.Categorical(logits=two).entropy()
    expected = expected + td.Bernoulli(logits=fire[..., 0]).entropy()
    _, entropy = log_prob_and_entropy(spec, numbers, torch.zeros(2, 5, 3))
    torch.testing.assert_close(entropy, expected)


@pytest.mark.parametrize("mean", [0.0, 0.7, -3.0])
@pytest.mark.parametrize("spread", [-2.0, 0.0, 20.0])
def test_the_entropy_of_an_axis_is_that_of_its_density(mean: float, spread: float) -> None:
    spec = ActionSpec(axes=(Axis("x", -1.0, 3.0),))
    std = float(std_of(torch.tensor(spread)))
    z = np.linspace(-10, 10, 200_001)
    weight = np.exp(-z * z / 2) / np.exp(-z * z / 2).sum()
    x = mean + std * z
    log_density = -z * z / 2 - np.log(std) - np.log(2 * np.pi) / 2
    # Squashed by tanh, then stretched by 2.
    log_density -= 2 * (np.log(2) - np.abs(x) - np.log1p(np.exp(-2 * np.abs(x)))) + np.log(2)
    _, entropy = log_prob_and_entropy(spec, torch.tensor([[mean, spread]]), torch.zeros(1, 1))
    assert float(entropy) == pytest.approx(-(weight * log_density).sum(), abs=1e-3)


def test_a_policy_that_knows_nothing_has_a_standard_deviation_of_one() -> None:
    # The density of tanh(z) stretched to [-1, 1], at 0: that of a standard normal variable.
    log_prob, _ = log_prob_and_entropy(ActionSpec(axes=(Axis("x"),)), torch.zeros(1, 2), torch.zeros(1, 1))
    assert float(log_prob) == pytest.approx(-math.log(2 * math.pi) / 2)


def test_greedy_takes_the_likeliest_and_the_middle() -> None:
    numbers = torch.tensor([[0.0, 1.0, 3.0, 2.0, 1.0, -0.1, 0.5, 0.0]])
    action = sample_action(ALL, numbers, seeded(), temperature=0)
    torch.testing.assert_close(action, torch.tensor([[1.0, 0.0, 0.0, -0.5 + 1.5 * math.tanh(0.5)]]))


def test_frequencies_and_temperature() -> None:
    logit = torch.full((40_000, 1), math.log(3.0))  # three times out of four
    spec = ActionSpec(buttons=("fire",))
    assert float(sample_action(spec, logit, seeded()).mean()) == pytest.approx(0.75, abs=0.01)
    hot = sample_action(spec, logit, seeded(), temperature=2.0).mean()  # sqrt(3) : 1
    assert float(hot) == pytest.approx(3**0.5 / (1 + 3**0.5), abs=0.01)
    steer = ActionSpec(axes=(Axis("x"),))
    drawn = sample_action(steer, torch.zeros(40_000, 2), seeded(), temperature=0.1).atanh()
    assert float(drawn.std()) == pytest.approx(0.1, rel=0.02)


def test_exploration_is_uniform() -> None:
    numbers = torch.full((40_000, num_parameters(ALL)), 4.0)
    numbers[:, 0] = -9.0
    drawn = sample_action(ALL, numbers, seeded(), epsilon=1.0)
    for column, mean in enumerate((0.5, 1.0, 0.5, -0.5)):
        assert float(drawn[:, column].mean()) == pytest.approx(mean, abs=0.02)
    assert float(drawn[:, 3].std()) == pytest.approx(3 / 12**0.5, rel=0.02)


def test_actions_at_the_very_ends_have_finite_probabilities_and_gradients() -> None:
    numbers = torch.zeros(2, 4, requires_grad=True)
    log_prob, entropy = log_prob_and_entropy(WHEEL, numbers, torch.tensor([[1.0, 0.0], [-1.0, 4.0]]))
    (log_prob + entropy).sum().backward()
    assert log_prob.isfinite().all() and numbers.grad is not None and numbers.grad.isfinite().all()


def test_policy_gradients_find_the_best_place() -> None:
    """REINFORCE on a reward that is highest at steer -0.5 and gas 3, with fire pressed."""
    spec = ActionSpec((), ("fire",), WHEEL.axes)
    numbers = torch.zeros(num_parameters(spec), requires_grad=True)
    optimizer, generator = torch.optim.Adam([numbers], lr=0.05), seeded()
    for _ in range(300):
        batch = numbers.expand(256, -1)
        action = sample_action(spec, batch.detach(), generator)
        reward = action[:, 0] - (action[:, 1] + 0.5).square() - (action[:, 2] - 3).square()
        log_prob, entropy = log_prob_and_entropy(spec, batch, action)
        loss = -(log_prob * (reward - reward.mean())).mean() - 1e-3 * entropy.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    best = sample_action(spec, numbers.detach()[None], generator, temperature=0)[0]
    torch.testing.assert_close(best, torch.tensor([1.0, -0.5, 3.0]), atol=0.1, rtol=0)


def frequencies(logits: list[float], temperature: float = 1.0, epsilon: float = 0.0) -> Tensor:
    draws = 20_000
    action = sample_action(
        ActionSpec.numbered(len(logits)),
        torch.tensor([logits]).expand(draws, -1),
        seeded(),
        temperature,
        epsilon,
    )
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
def test_frequencies_of_a_choice(temperature: float, epsilon: float, expected: list[float]) -> None:
    logits = torch.tensor([0.1, 0.2, 0.7]).log().tolist()
    torch.testing.assert_close(
        frequencies(logits, temperature, epsilon), torch.tensor(expected), atol=0.012, rtol=0
    )


@SPECS
@pytest.mark.parametrize("temperature", [1e-29, 1e-30, 1e-31, 1e-39, 1e-46, 5e-324])
def test_the_coldest_temperatures_are_greedy(spec: ActionSpec, temperature: float) -> None:
    numbers = parameters(spec, 300)
    greedy = sample_action(spec, numbers, seeded(), 0.0)
    torch.testing.assert_close(sample_action(spec, numbers, seeded(), temperature), greedy)
    if spec.is_discrete:
        assert set(greedy.tolist()) == {0, 1, 2}


@pytest.mark.parametrize("temperature", [math.nan, -1.0, -math.inf])
def test_temperatures_that_are_none(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature is"):
        sample_action(DISCRETE, parameters(DISCRETE, 1), seeded(), temperature)
    with pytest.raises(
        UserError, match=r"`temperature` is .*; it must be at least 0 \(0 is greedy\) and finite"
    ):
        check_temperature(temperature)
    with pytest.raises(UserError, match="`temperature` is inf"):
        check_temperature(math.inf)


def test_actions_depend_on_the_generator_and_on_their_own_logits() -> None:
    logits = torch.tensor([[9e3, 0.0], [0.0, 9e3]])
    assert sample_action(ActionSpec.numbered(2), logits, seeded()).tolist() == [0, 1]
    flat, four = torch.zeros(50, 4), ActionSpec.numbered(4)
    assert torch.equal(sample_action(four, flat, seeded(1)), sample_action(four, flat, seeded(1)))
    assert not torch.equal(sample_action(four, flat, seeded(1)), sample_action(four, flat, seeded(2)))
