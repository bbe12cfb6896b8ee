"""AdamW with learning-rate warm-up and gradient clipping, and an exponential moving average (EMA) of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from adamas.core.checks import check_range
from adamas.core.distributed import ALONE, Group
from adamas.core.errors import UserError
from adamas.core.types import Batch

DECAYED = (nn.Linear, nn.Conv2d, nn.LSTM, nn.LSTMCell)
"""Layers whose weights have weight decay. Biases, norms and embeddings have none."""


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW with a linear learning-rate warm-up from 0, and gradient clipping."""

    lr: float = 1e-4
    """Learning rate of AdamW after the warm-up, above 0."""
    weight_decay: float = 1e-2
    """Weight decay of AdamW. 0 decays nothing."""
    eps: float = 1e-8
    """Constant in the denominator of AdamW, above 0, which bounds the size of updates where gradients are tiny."""
    warmup_updates: int = 100
    """Number of updates over which the learning rate grows linearly from 0; afterwards it stays constant. 0 has no
    warm-up."""
    max_grad_norm: float = 1.0
    """Largest norm of a gradient, above 0. Larger gradients are scaled down to it."""

    def __post_init__(self) -> None:
        for name in ("lr", "eps", "max_grad_norm"):
            check_range(f"optimizer.{name}", getattr(self, name), above=0)
        for name in ("weight_decay", "warmup_updates"):
            check_range(f"optimizer.{name}", getattr(self, name), least=0)


class NonFiniteLossError(UserError):
    """A loss or a gradient was NaN or infinite; the weights are those before the update."""

    batch: Batch | None = None  # the batch of the loss, if it was computed from a batch of recorded steps


class Gradient(NamedTuple):
    """A shard's part of the batch's loss, a scalar, and its gradient for each parameter of the optimiser.

    The gradient is None for a parameter that the loss does not depend on. With gradient accumulation, ``values`` is
    empty, because the gradients are in the parameters.
    """

    loss: Tensor
    values: tuple[Tensor | None, ...] = ()


class Optimizer:
    """The optimiser of one module. In data parallel training, each process updates its copy in the same way."""

    def __init__(
        self, module: nn.Module, config: OptimizerConfig, group: Group = ALONE, accumulate: bool = False
    ) -> None:
        """Prepare to update ``module``.

        Args:
            module: the module to train.
            config: learning rate, decay and clipping.
            group: the data parallel processes, each of which computes some shards of every batch.
            accumulate: use gradient accumulation: sum the gradients of shards in the parameters, so that memory for
                a single set of gradients is enough. Shards must then be differentiated one after another.
        """
        self.config = config
        self.group = group
        self.accumulate = accumulate
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        self.num_updates = 0
        groups = parameter_groups(module, config.weight_decay)
        self._adamw = self._adamw_for(groups)
        device = self.parameters[0].device
        self._raise_at_once = device.type == "cpu"  # On other devices, checking would wait for the device.
        self._skipped = torch.zeros((), dtype=torch.int64, device=device)  # skipped updates: see update()

    def _adamw_for(self, groups: list[dict[str, Any]]) -> torch.optim.AdamW:
        # The fused optimiser uses one kernel for all parameters, which makes updates of small models 10 % faster.
        return torch.optim.AdamW(groups, lr=self.config.lr, eps=self.config.eps, fused=True)

    def gradient(self, loss: Tensor, share: float = 1.0) -> Gradient:
        """Differentiate the mean loss of one shard. Threads may do so in parallel, unless gradients accumulate.

        Args:
            loss: scalar, with a graph.
            share: the shard's share of the samples of the batch; the shares of all shards sum to 1.
        """
        loss = loss * share
        if self.accumulate:
            loss.backward()  # type: ignore[no-untyped-call]
            return Gradient(loss.detach())
        return Gradient(loss.detach(), torch.autograd.grad(loss, self.parameters, allow_unused=True))

    def update(self, *shards: Gradient) -> Tensor:
        """Take one step along the sum of all shards' gradients, and return the gradient norm before clipping.

        After a loss or gradient that is not finite, all further updates are skipped. On a CPU, such a loss is an error
        at once. On other devices, the check would have to wait for the device, so only the returned norm shows it.

        Raises:
            NonFiniteLossError: on a CPU, if a loss or a gradient was NaN or infinite.
        """
        if not self.accumulate:
            self._add_up([shard.values for shard in shards])
        loss = torch.stack([shard.loss for shard in shards]).sum()
        self.group.all_reduce([loss, *(p.grad for p in self.parameters if p.grad is not None)])
        norm = nn.utils.clip_grad_norm_(self.parameters, self.config.max_grad_norm)
        skip = ~(torch.isfinite(loss) & torch.isfinite(norm)) | (self._skipped > 0)
        self._skipped += skip
        self._adamw.found_inf = skip.float()  # type: ignore[attr-defined]  # read by the fused kernel
        self._warm_up()
        self._adamw.step()
        self.num_updates += 1
        if self._raise_at_once and skip:
            self.num_updates -= 1
            self._skipped.zero_()
            self._adamw.zero_grad()
            raise NonFiniteLossError(f"the loss is {loss.item():g} and its gradient's norm {norm.item():g}")
        if self.accumulate:
            self._adamw.zero_grad()
        return norm

    def _add_up(self, shards: Sequence[tuple[Tensor | None, ...]]) -> None:
        """Set the gradients of the parameters to the sums over all shards, in a few kernels for all parameters."""
        used = [p for p, value in zip(self.parameters, shards[0], strict=True) if value is not None]
        first, *others = [[value for value in values if value is not None] for values in shards]
        # Copy the gradients: they can be views that share memory, and clipping changes them in place.
        total = torch._foreach_add(first, 0)
        for values in others:
            torch._foreach_add_(total, values)
        self._adamw.zero_grad()
        for parameter, gradient in zip(used, total, strict=True):
            parameter.grad = gradient

    def _match_layout(self, value: Tensor, parameter: Tensor) -> Tensor:
        # The fused kernel requires the moments to have the memory layout of their parameter.
        return torch.empty_like(parameter).copy_(value)

    def _warm_up(self) -> None:
        warmup = self.config.warmup_updates
        for group in self._adamw.param_groups:
            group["lr"] = self.config.lr * (min(1.0, self.num_updates / warmup) if warmup else 1.0)

    def state_dict(self) -> dict[str, Any]:
        """The state for a checkpoint; after skipped updates, it equals the state before the first of them."""
        return {"adamw": self._adamw.state_dict(), "num_updates": self.num_updates - int(self._skipped)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint."""
        self._skipped.zero_()
        fused = self._adamw.param_groups[0]["fused"]
        self._adamw.load_state_dict(state["adamw"])
        for group in self._adamw.param_groups:
            group["fused"] = fused  # depends on this process, not on the process that wrote the checkpoint
        for parameter, values in self._adamw.state.items():
            for name, value in values.items():
                if value.shape == parameter.shape:
                    values[name] = self._match_layout(value, parameter)
        self.num_updates = state["num_updates"]


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Make two parameter groups: the weights of :data:`DECAYED` layers, with weight decay, and all others, without."""
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
def update_ema(ema: nn.Module, module: nn.Module, decay: float, num_updates: int) -> None:
    """Update an exponential moving average of weights: ema <- d ema + (1 - d) module."""
    weight = ema_weight(decay, num_updates)
    torch._foreach_lerp_(list(ema.parameters()), list(module.parameters()), weight)


def ema_weight(decay: float, num_updates: int) -> float:
    """Compute 1 - d, where d rises from 0.1 to ``decay``, so that the random initial weights are soon forgotten."""
    return 1 - min(decay, (1 + num_updates) / (10 + num_updates))
