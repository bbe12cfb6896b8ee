"""The gradients of shards are summed to the same bits, however they are summed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from adamas.nn.optim import Optimizer, OptimizerConfig


def network_and_batches(num_shards: int) -> tuple[nn.Module, list[Tensor]]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.SiLU(), nn.Flatten(), nn.Linear(128, 4))
    unused = nn.Linear(2, 2)  # the loss does not depend on it
    return nn.ModuleList([network, unused]), list(torch.randn(num_shards, 2, 3, 6, 6))


def sum_by_hand(parts: list[Tensor]) -> Tensor:
    """The shards' mean as it was once computed, one parameter after another."""
    return sum(parts) / len(parts)  # type: ignore[return-value]


@pytest.mark.parametrize("num_shards", [1, 2, 4, 8])
@pytest.mark.parametrize("accumulate", [False, True])
def test_gradients_are_the_same_bits_however_they_are_summed(num_shards: int, accumulate: bool) -> None:
    module, batches = network_and_batches(num_shards)
    optimizer = Optimizer(module, OptimizerConfig(max_grad_norm=1e9), accumulate=accumulate)
    monitored: list[list[Tensor]] = []
    parameters = list(module[0].parameters())  # type: ignore[index]
    losses = [module[0](batch).square().mean() for batch in batches]  # type: ignore[index]
    expected = [
        sum_by_hand(list(parts))
        for parts in zip(
            *(torch.autograd.grad(loss, parameters, retain_graph=True) for loss in losses), strict=True
        )
    ]
    step = optimizer._adamw.step
    optimizer._adamw.step = lambda: monitored.append([p.grad.clone() for p in parameters]) or step()  # type: ignore
    optimizer.update(*(optimizer.gradient(loss, 1 / num_shards) for loss in losses))
    for found, right in zip(monitored[0], expected, strict=True):
        assert torch.equal(found, right)
    assert all(p.grad is None for p in module[1].parameters())  # type: ignore[index]


def test_accumulated_gradients_are_one_set_and_gone_after_the_update() -> None:
    module, batches = network_and_batches(4)
    optimizer = Optimizer(module, OptimizerConfig(), accumulate=True)
    gradients = [optimizer.gradient(module[0](batch).square().mean(), 0.25) for batch in batches]  # type: ignore[index]
    assert [gradient.values for gradient in gradients] == [()] * 4
    optimizer.update(*gradients)
    assert all(parameter.grad is None for parameter in module.parameters())


def test_one_update_starts_few_kernels_for_the_sum_of_its_shards() -> None:
    """As many as there are shards, not as there are parameters: each of these is one kernel on a GPU."""
    counts: Counter[str] = Counter()

    class Kernels(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            counts[func.name().partition(".")[0]] += 1
            return func(*args, **(kwargs or {}))

    def nothing(closure: Any = None) -> Any:
        """No step, which would add as well."""

    for accumulate, adds in ((False, 3), (True, 0)):
        counts.clear()
        module, batches = network_and_batches(3)
        optimizer = Optimizer(module, OptimizerConfig(), accumulate=accumulate)
        gradients = [optimizer.gradient(module[0](batch).square().mean(), 1 / 3) for batch in batches]  # type: ignore[index]
        optimizer._adamw.step = nothing  # type: ignore[method-assign]
        with Kernels():
            optimizer.update(*gradients)
        assert counts["aten::_foreach_add"] + counts["aten::_foreach_add_"] == adds
        assert counts["aten::add"] <= 1 and not counts["aten::div"]  # clipping adds to the norm
