"""Optimisers: AdamW with warm-up, decay on weights only, and averaged weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from adamas.core.distributed import ALONE, Group
from adamas.core.errors import UserError
from adamas.core.types import Batch

DECAYED = (nn.Linear, nn.Conv2d, nn.LSTM, nn.LSTMCell)
"""Layers whose weights decay. Biases, norms and embeddings never do."""


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with a linear warm-up from 0 and gradient clipping."""

    lr: float = 1e-4
    weight_decay: float = 1e-2
    eps: float = 1e-8
    warmup_updates: int = 100
    """Updates until the learning rate is reached; it stays there."""
    max_grad_norm: float = 1.0
    """Gradients are scaled down to this norm."""

    def __post_init__(self) -> None:
        if not (self.lr > 0 and self.eps > 0 and self.max_grad_norm > 0):
            raise UserError(
                "optimizer: lr, eps and max_grad_norm must be positive, got "
                f"{self.lr}, {self.eps} and {self.max_grad_norm}"
            )
        if not (self.weight_decay >= 0 and self.warmup_updates >= 0):
            raise UserError(
                "optimizer: weight_decay and warmup_updates must be at least 0, got "
                f"{self.weight_decay} and {self.warmup_updates}"
            )


class NonFiniteLossError(UserError):
    """A loss or a gradient was NaN or infinite; the weights are those before the update."""

    batch: Batch | None = None  # what the loss was computed from, where there is such a thing


class Gradient(NamedTuple):
    """A shard's part of a batch's loss, (), and its derivative with respect to each of an optimiser's parameters.

    A parameter that the loss does not depend on has None. Where gradients accumulate in the parameters, there are no
    values here.
    """

    loss: Tensor
    values: tuple[Tensor | None, ...] = ()


class Optimizer:
    """Updates one module; every process of ``group`` its copy, all in the same way."""

    def __init__(
        self, module: nn.Module, config: OptimizerConfig, group: Group = ALONE, accumulate: bool = False
    ) -> None:
        """Prepare to update ``module``.

        Args:
            module: what is trained.
            config: learning rate, decay and clipping.
            group: the processes that each compute some shards of every batch.
            accumulate: the gradients of shards are added up in the parameters, so that there is one set of them
                however many shards there are. Shards must then be differentiated one after another.
        """
        self.config = config
        self.group = group
        self.accumulate = accumulate
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        self.num_updates = 0
        groups = parameter_groups(module, config.weight_decay)
        self._adamw = self._adamw_for(groups)
        device = self.parameters[0].device
        self._ask = device.type == "cpu"  # whether all went well: others would make the program wait
        self._skipped = torch.zeros((), dtype=torch.int64, device=device)  # updates since one was not finite

    def _adamw_for(self, groups: list[dict[str, Any]]) -> torch.optim.AdamW:
        # Fused: one kernel for all parameters, which for small models is a tenth of an update faster.
        return torch.optim.AdamW(groups, lr=self.config.lr, eps=self.config.eps, fused=True)

    def gradient(self, loss: Tensor, share: float = 1.0) -> Gradient:
        """Differentiate one shard's mean loss; several threads may do so at once unless gradients accumulate.

        Args:
            loss: (), with a graph.
            share: of the batch's samples that are in the shard; the shares of all shards sum to 1.
        """
        loss = loss * share
        if self.accumulate:
            loss.backward()  # type: ignore[no-untyped-call]
            return Gradient(loss.detach())
        return Gradient(loss.detach(), torch.autograd.grad(loss, self.parameters, allow_unused=True))

    def update(self, *shards: Gradient) -> Tensor:
        """Descend one step along the sum of all shards' gradients and return its norm before clipping.

        Once a loss or a gradient is not finite, nothing is changed any more. On a CPU this is an error at once. On
        other devices the check would have to wait for the device, so there only the returned norm shows it.

        Raises:
            NonFiniteLossError: on a CPU, a loss or a gradient was NaN or infinite.
        """
        if not self.accumulate:
            self._add_up([shard.values for shard in shards])
        loss = torch.stack([shard.loss for shard in shards]).sum()
        self.group.sum_([loss, *(p.grad for p in self.parameters if p.grad is not None)])
        norm = nn.utils.clip_grad_norm_(self.parameters, self.config.max_grad_norm)
        skip = ~(torch.isfinite(loss) & torch.isfinite(norm)) | (self._skipped > 0)
        self._skipped += skip
        self._adamw.found_inf = skip.float()  # type: ignore[attr-defined]  # the fused kernel looks for it
        self._warm_up()
        self._adamw.step()
        self.num_updates += 1
        if self._ask and skip:
            self.num_updates -= 1
            self._skipped.zero_()
            self._adamw.zero_grad()
            raise NonFiniteLossError(f"the loss is {loss.item():g} and its gradient's norm {norm.item():g}")
        if self.accumulate:
            self._adamw.zero_grad()
        return norm

    def _add_up(self, shards: Sequence[tuple[Tensor | None, ...]]) -> None:
        """Make the sums of all shards' gradients those of the parameters, in a few kernels for all parameters."""
        touched = [p for p, value in zip(self.parameters, shards[0], strict=True) if value is not None]
        first, *others = [[value for value in values if value is not None] for values in shards]
        # A copy, which clipping may write to: gradients can be views that share memory.
        total = torch._foreach_add(first, 0)
        for values in others:
            torch._foreach_add_(total, values)
        self._adamw.zero_grad()
        for parameter, gradient in zip(touched, total, strict=True):
            parameter.grad = gradient

    def _laid_out(self, value: Tensor, parameter: Tensor) -> Tensor:
        # The fused kernel walks through memory, so moments must lie there as their parameter does.
        return torch.empty_like(parameter).copy_(value)

    def _warm_up(self) -> None:
        warmup = self.config.warmup_updates
        for group in self._adamw.param_groups:
            group["lr"] = self.config.lr * (min(1.0, self.num_updates / warmup) if warmup else 1.0)

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint: the state before the first update that was skipped, if one was."""
        return {"adamw": self._adamw.state_dict(), "num_updates": self.num_updates - int(self._skipped)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint."""
        self._skipped.zero_()
        fused = self._adamw.param_groups[0]["fused"]
        self._adamw.load_state_dict(state["adamw"])
        for group in self._adamw.param_groups:
            group["fused"] = fused  # how this process computes, not the one that wrote the checkpoint
        for parameter, values in self._adamw.state.items():
            for name, value in values.items():
                if value.shape == parameter.shape:
                    values[name] = self._laid_out(value, parameter)
        self.num_updates = state["num_updates"]


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups: weights of linear, convolutional and recurrent layers, which decay, and all the rest."""
    decayed = {
        id(parameter)
        for layer in module.modules()
        if isinstance(layer, DECAYED)
        for name, parameter in layer.named_parameters(recurse=False)
        if "weight" in name
    }
    parameters = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if id(p) in decayed], "weight_decay": weight_decay},
        {"params": [p for p in parameters if id(p) not in decayed], "weight_decay": 0.0},
    ]


@torch.no_grad()
def update_average(average: nn.Module, module: nn.Module, decay: float, num_updates: int) -> None:
    """Move ``average`` towards ``module``: average <- d average + (1 - d) module."""
    weight = average_weight(decay, num_updates)
    torch._foreach_lerp_(list(average.parameters()), list(module.parameters()), weight)


def average_weight(decay: float, num_updates: int) -> float:
    """1 - d: d rises from 0.1 to ``decay``, so that the random weights of the start are soon forgotten."""
    return 1 - min(decay, (1 + num_updates) / (10 + num_updates))
