"""AdamW with warm-up, decay on weights alone, clipping, averaged weights, and no update from NaN."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from adamas.agent import Agent, AgentConfig
from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.nn.optim import NonFiniteLossError, Optimizer, OptimizerConfig, parameter_groups, update_ema
from adamas.presets import preset


def linear(*weights: float) -> nn.Linear:
    layer = nn.Linear(len(weights), 1, bias=False)
    layer.weight.data = torch.tensor([weights], dtype=torch.float32)
    return layer


def test_two_updates_by_hand() -> None:
    layer = linear(2.0)
    optimizer = Optimizer(layer, OptimizerConfig(lr=0.1, weight_decay=0.5, eps=1e-8, warmup_updates=4))
    optimizer.update(optimizer.gradient(3 * layer.weight.sum()))
    assert layer.weight.item() == 2.0  # the learning rate starts at 0
    optimizer.update(optimizer.gradient(3 * layer.weight.sum()))
    # A constant gradient moves a weight by the learning rate, whatever its size; then there is the decay.
    rate = 0.1 * 1 / 4
    assert layer.weight.item() == pytest.approx(2.0 * (1 - rate * 0.5) - rate, rel=1e-6)


@pytest.mark.parametrize(("warmup", "rates"), [(0, [1, 1, 1, 1]), (1, [0, 1, 1, 1]), (2, [0, 0.5, 1, 1])])
def test_learning_rate_rises_from_0_and_stays(warmup: int, rates: list[float]) -> None:
    layer = linear(0.0)
    optimizer = Optimizer(layer, OptimizerConfig(lr=1.0, weight_decay=0.0, warmup_updates=warmup))
    steps = []
    for _ in rates:
        before = layer.weight.item()
        optimizer.update(optimizer.gradient(layer.weight.sum()))
        steps.append(before - layer.weight.item())
    assert steps == pytest.approx(rates, abs=1e-6)
    assert optimizer.num_updates == len(rates)


def test_gradients_are_scaled_down_to_the_norm_and_never_up() -> None:
    layer = linear(0.0, 0.0)
    optimizer = Optimizer(layer, OptimizerConfig(max_grad_norm=1.0))
    norm = optimizer.update(optimizer.gradient((layer.weight * torch.tensor([3.0, 4.0])).sum()))
    assert norm.item() == pytest.approx(5.0)  # before clipping
    assert layer.weight.grad is not None
    assert layer.weight.grad[0].tolist() == pytest.approx([0.6, 0.8], rel=1e-5)
    optimizer.update(optimizer.gradient((layer.weight * torch.tensor([0.3, 0.4])).sum()))
    assert layer.weight.grad[0].tolist() == pytest.approx([0.3, 0.4], rel=1e-5)


@pytest.mark.parametrize("accumulate", [False, True])
def test_an_update_follows_the_mean_over_the_samples_of_its_shards(accumulate: bool) -> None:
    """Three samples with the factors 1, 4 and 7: their mean is 4 however they are split."""
    splits = [[(4.0, 1.0)], [(1.0, 1 / 3), (5.5, 2 / 3)], [(2.5, 2 / 3), (7.0, 1 / 3)]]  # means, and shares
    layers = [linear(1.0, 2.0) for _ in splits]
    for layer, shards in zip(layers, splits, strict=True):
        config = OptimizerConfig(lr=0.1, warmup_updates=0, max_grad_norm=100.0)
        optimizer = Optimizer(layer, config, accumulate=accumulate)
        for _ in range(2):  # nothing is left of the first update's gradients
            mean_loss = 4 * layer.weight.sum().item()
            gradients = [optimizer.gradient(f * layer.weight.sum(), share) for f, share in shards]
            assert sum(float(gradient.loss) for gradient in gradients) == pytest.approx(mean_loss)
            assert optimizer.update(*gradients).item() == pytest.approx(4 * 2**0.5)
    for layer in layers[1:]:
        torch.testing.assert_close(layer.weight, layers[0].weight)


def test_a_parameter_without_a_gradient_stays() -> None:
    layer = nn.Linear(2, 1)
    before = layer.weight.detach().clone()
    optimizer = Optimizer(layer, OptimizerConfig(weight_decay=0.5, warmup_updates=0))
    optimizer.update(*(optimizer.gradient(layer.bias.sum(), 0.5) for _ in range(2)))
    assert layer.weight.equal(before)


def test_every_weight_decays_and_nothing_else() -> None:
    config = preset("debug")
    agent = Agent(
        AgentConfig(
            obs_shape=(3, 16, 16),
            actions=ActionSpec.discrete(("a", "b")),
            world_model=config.world_model,
            actor_critic=config.actor_critic,
        )
    )
    decayed, others = parameter_groups(agent, 0.01)
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.01, 0.0)
    names = {id(parameter): name for name, parameter in agent.named_parameters()}
    layers = dict(agent.named_modules())
    for parameter in decayed["params"]:
        name = names.pop(id(parameter))
        assert isinstance(layers[name.rpartition(".")[0]], nn.Linear | nn.Conv2d | nn.LSTM | nn.LSTMCell), (
            name
        )
        assert "weight" in name and parameter.ndim >= 2
    for parameter in others["params"]:
        name = names.pop(id(parameter))
        layer = layers[name.rpartition(".")[0]]
        assert "bias" in name or isinstance(layer, nn.Embedding | nn.GroupNorm), name
    assert not names  # each parameter is in one of the groups, and in one only


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_nothing_changes_when_the_loss_is_not_finite(poison: float) -> None:
    layers = linear(1.0, 2.0), linear(1.0, 2.0)
    poisoned, clean = (Optimizer(layer, OptimizerConfig(lr=0.1, warmup_updates=2)) for layer in layers)

    def update(optimizer: Optimizer, layer: nn.Linear, factor: float = 1.0) -> Tensor:
        return optimizer.update(optimizer.gradient((layer.weight.square() * factor).sum()))

    for _ in range(2):
        update(poisoned, layers[0])
        update(clean, layers[1])
    with pytest.raises(NonFiniteLossError, match=r"the loss is (nan|inf) and its gradient's norm (nan|inf)"):
        update(poisoned, layers[0], poison)
    assert layers[0].weight.grad is None
    moments = [str(optimizer.state_dict()["adamw"]["state"]) for optimizer in (poisoned, clean)]
    assert moments[0] == moments[1]
    assert poisoned.num_updates == clean.num_updates == 2
    assert layers[0].weight.equal(layers[1].weight)
    for optimizer, layer in zip((poisoned, clean), layers, strict=True):
        update(optimizer, layer)
    assert layers[0].weight.equal(layers[1].weight)


def test_where_nobody_asks_the_weights_stay_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = linear(1.0, 2.0), linear(1.0, 2.0)
    late, clean = (Optimizer(layer, OptimizerConfig(lr=0.1, warmup_updates=2)) for layer in layers)
    monkeypatch.setattr(late, "_raise_at_once", False)  # as on a GPU

    def update(optimizer: Optimizer, layer: nn.Linear, factor: float = 1.0) -> Tensor:
        return optimizer.update(optimizer.gradient((layer.weight.square() * factor).sum()))

    for _ in range(2):
        update(clean, layers[1])
    norms = [update(late, layers[0], factor) for factor in (1.0, 1.0, math.nan, 1.0, 1.0)]
    assert [bool(norm.isfinite()) for norm in norms] == [True, True, False, True, True]
    assert layers[0].weight.equal(layers[1].weight)
    assert late.state_dict()["num_updates"] == clean.state_dict()["num_updates"] == 2
    update(late, layers[0])  # saving does not make it go on
    assert layers[0].weight.equal(layers[1].weight)
    late.load_state_dict(copy.deepcopy(late.state_dict()))
    for optimizer, layer in zip((late, clean), layers, strict=True):  # resumed, it does
        update(optimizer, layer)
    assert layers[0].weight.equal(layers[1].weight)


def test_finite_loss_with_an_infinite_gradient_is_refused() -> None:
    layer = linear(0.0)
    optimizer = Optimizer(layer, OptimizerConfig())
    with pytest.raises(NonFiniteLossError, match="the loss is 0 and its gradient's norm inf"):
        optimizer.update(optimizer.gradient(layer.weight.sqrt().sum()))
    assert layer.weight.item() == 0.0


def test_optimizer_goes_on_from_its_state() -> None:
    layers = linear(1.0, -2.0), linear(0.0, 0.0)
    config = OptimizerConfig(lr=0.1, warmup_updates=5)
    first, second = (Optimizer(layer, config) for layer in layers)
    for _ in range(3):
        first.update(first.gradient(layers[0].weight.square().sum()))
    layers[1].load_state_dict(layers[0].state_dict())
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for optimizer, layer in zip((first, second), layers, strict=True):
        optimizer.update(optimizer.gradient(layer.weight.square().sum()))
    assert layers[0].weight.equal(layers[1].weight)
    assert second.num_updates == 4


@pytest.mark.parametrize(
    ("num_updates", "decay"), [(0, 0.1), (1, 2 / 11), (80, 0.9), (81, 0.9), (10**6, 0.9)]
)
def test_average_by_hand(num_updates: int, decay: float) -> None:
    average, module = linear(1.0), linear(3.0)
    update_ema(average, module, 0.9, num_updates)
    assert average.weight.item() == pytest.approx(decay * 1.0 + (1 - decay) * 3.0)
    assert module.weight.item() == 3.0


@given(st.floats(-10, 10), st.floats(-10, 10), st.floats(0, 0.9999), st.integers(0, 10**6))
def test_an_average_lies_between_old_and_new(old: float, new: float, decay: float, num_updates: int) -> None:
    average, module = linear(old), linear(new)
    update_ema(average, module, decay, num_updates)
    low, high = sorted((old, new))
    assert low - 1e-5 <= average.weight.item() <= high + 1e-5


@pytest.mark.parametrize(
    "values",
    [
        {"lr": 0.0},
        {"lr": math.nan},
        {"eps": 0.0},
        {"max_grad_norm": 0.0},
        {"weight_decay": -1.0},
        {"warmup_updates": -1},
    ],
)
def test_impossible_settings_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(UserError, match=f"`optimizer.{next(iter(values))}` is "):
        OptimizerConfig(**values)  # type: ignore[arg-type]


def test_moments_are_laid_out_in_memory_as_their_parameters() -> None:
    """A checkpoint may come from a run that kept images in another order."""
    torch.manual_seed(0)
    other: Any = nn.Conv2d(3, 4, 3)
    convs = [nn.Conv2d(3, 4, 3), other.to(memory_format=torch.channels_last)]
    convs[1].load_state_dict(convs[0].state_dict())
    first = Optimizer(convs[0], OptimizerConfig(lr=0.1))
    batches = torch.randn(3, 2, 3, 6, 6)
    first.update(first.gradient(convs[0](batches[0]).square().mean()))
    convs[1].load_state_dict(convs[0].state_dict())
    second = Optimizer(convs[1], OptimizerConfig(lr=0.1))
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for optimizer, conv in zip((first, second), convs, strict=True):
        for batch in batches[1:]:
            optimizer.update(optimizer.gradient(conv(batch).square().mean()))
    torch.testing.assert_close(convs[0].weight, convs[1].weight, atol=1e-6, rtol=1e-5)
