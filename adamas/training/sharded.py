"""World models too big for one process: each keeps a part of every parameter (PyTorch's FSDP2).

Whole parameters are gathered block by block while a network computes, gradients are averaged and scattered to the
processes, and each optimiser updates only its own parts. Every process saves and loads its own parts
(:mod:`adamas.training.parts`); rank 0 puts the whole agent together, one tensor at a time. A run can be resumed by any
number of processes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from adamas.core.errors import UserError
from adamas.core.protocols import Component
from adamas.core.runtime import device_of
from adamas.diffusion.denoiser import FrameDiffusion
from adamas.nn.blocks import ResBlocks
from adamas.training.config import ComponentTraining
from adamas.training.distributed import Led
from adamas.training.learning import ComponentPhase
from adamas.training.optim import Gradient, NonFiniteLossError, Optimizer, average_weight
from adamas.training.parts import read_parts, write_parts
from adamas.training.phases import Phase

try:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import DTensor, distribute_tensor
except ImportError as error:
    raise UserError(
        f"runtime.shard_parameters needs PyTorch 2.7 or newer, this is {torch.__version__}; update it, or leave it"
    ) from error


def shard(module: nn.Module) -> None:
    """Keep this process's part of every parameter of a denoiser or an upsampler alone, as a :class:`DTensor`."""
    assert isinstance(module, FrameDiffusion)
    module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # FSDP2 knows no other
    mesh = init_device_mesh(device_of(module).type, (torch.distributed.get_world_size(),))
    for blocks in module.modules():
        if isinstance(blocks, ResBlocks):
            fully_shard(blocks, mesh=mesh)
    fully_shard(module.inner_model, mesh=mesh)


def part(tensor: Tensor, like: Tensor) -> DTensor:
    """This process's part of a whole ``tensor`` that is to lie as the sharded ``like``; asks no other process."""
    assert isinstance(like, DTensor)
    tensor = tensor.to(like.device)
    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)


class ShardedOptimizer(Optimizer):
    """An optimiser of parts. Gradients of a batch's shards add up in the parameters, so one comes after another."""

    def _adamw_for(self, groups: list[dict[str, Any]]) -> torch.optim.AdamW:
        return torch.optim.AdamW(groups, lr=self.config.lr, eps=self.config.eps)

    def gradient(self, loss: Tensor, share: float = 1.0) -> Gradient:
        """As :class:`Optimizer`'s where gradients accumulate."""
        # FSDP2 averages over the processes what is to be summed.
        (loss * share * self.group.size).backward()  # type: ignore[no-untyped-call]
        return Gradient(loss.detach() * share)

    def update(self, *shards: Gradient) -> Tensor:
        """As :class:`Optimizer`'s, but waits for the device, to see whether all is finite.

        Raises:
            NonFiniteLossError: in every process alike.
        """
        loss = torch.stack([shard.loss for shard in shards]).sum()
        self.group.sum_([loss])
        norm = nn.utils.clip_grad_norm_(self.parameters, self.config.max_grad_norm)
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        if not (torch.isfinite(loss) and torch.isfinite(norm)):
            self._adamw.zero_grad()
            raise NonFiniteLossError(f"the loss is {loss.item():g} and its gradient's norm {norm.item():g}")
        self._warm_up()
        self._adamw.step()
        self._adamw.zero_grad()
        self.num_updates += 1
        return norm

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint: all but :meth:`parts`."""
        adamw = self._adamw.state_dict()
        state = {
            number: {name: value for name, value in values.items() if not isinstance(value, DTensor)}
            for number, values in adamw["state"].items()
        }
        return {"adamw": {**adamw, "state": state}, "num_updates": self.num_updates}

    def parts(self) -> dict[str, Tensor]:
        """The moments of every parameter, by its number in AdamW's state and their name there."""
        return {
            f"{number}.{name}": value
            for number, values in self._adamw.state_dict()["state"].items()
            for name, value in values.items()
            if isinstance(value, DTensor)
        }

    def load_parts(self, state: Mapping[str, Any], folder: Path) -> None:
        """Continue from :meth:`state_dict`, and this process's parts of the moments."""
        parameters = [p for group in self._adamw.param_groups for p in group["params"]]
        moments = {
            number: {name: torch.zeros_like(parameters[number]) for name in ("exp_avg", "exp_avg_sq")}
            for number in state["adamw"]["state"]
        }
        read_parts(
            folder,
            {f"optimizer.{i}.{name}": tensor for i, both in moments.items() for name, tensor in both.items()},
        )
        full = {number: {**values, **moments[number]} for number, values in state["adamw"]["state"].items()}
        self.load_state_dict({**state, "adamw": {**state["adamw"], "state": full}})

    def _laid_out(self, value: Tensor, parameter: Tensor) -> Tensor:
        return value if isinstance(value, DTensor) else part(value, parameter)


class ShardedPhase(ComponentPhase):
    """Updates of a denoiser or an upsampler in parts. The agent gets its weights after the last update of an epoch."""

    make_optimizer = ShardedOptimizer

    def __init__(
        self, component: Component, average: nn.Module, config: ComponentTraining, *rest: Any
    ) -> None:
        """As :class:`ComponentPhase`; ``average`` is the agent's own module and stays whole."""
        self.agents = average
        mean = component.module
        if config.average_decay:
            mean = copy.deepcopy(mean)
            shard(mean)
        shard(component.module)
        super().__init__(component, mean, config, *rest)

    def end(self) -> None:
        """Put the agent's weights together, in rank 0; all processes must do so at once."""
        with torch.no_grad():
            for ours, parts in zip(self.agents.parameters(), self.average.parameters(), strict=True):
                whole = parts.full_tensor()  # type: ignore[attr-defined]
                if self.workers.group.rank == 0:
                    ours.copy_(whole)

    def keep_parts_alone(self) -> None:
        """Free the agent's own weights, which other processes than rank 0 have no use for."""
        self.agents.to("meta")

    def _update_average(self) -> None:
        weight = average_weight(self.config.average_decay, self.optimizer.num_updates)
        with torch.no_grad():
            for mean, parameter in zip(
                self.average.parameters(), self.component.module.parameters(), strict=True
            ):
                mean.to_local().lerp_(parameter.to_local(), weight)  # type: ignore[attr-defined]

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint, which holds the agent and all parts too."""
        self.end()
        state = self.component.module.state_dict()
        buffers = {name: tensor for name, tensor in state.items() if not isinstance(tensor, DTensor)}
        return {"optimizer": self.optimizer.state_dict(), "module": buffers}

    def save_parts(self, folder: Path) -> None:
        """Write all parts into a new folder, each process its own."""
        assert isinstance(self.optimizer, ShardedOptimizer)
        moments = {f"optimizer.{name}": tensor for name, tensor in self.optimizer.parts().items()}
        write_parts(folder, self._weights() | moments)

    def load_parts(self, state: Mapping[str, Any], folder: Path) -> None:
        """Continue from a checkpoint that processes wrote parts of, in whatever number."""
        assert isinstance(self.optimizer, ShardedOptimizer)
        read_parts(folder, self._weights())
        self.optimizer.load_parts(state["optimizer"], folder)

    def _weights(self) -> dict[str, Tensor]:
        """This process's parts of what is trained, and of its average if that is something else."""
        modules = {"module": self.component.module}
        if self.average is not self.component.module:
            modules["average"] = self.average
        return {
            f"{what}.{name}": parameter.detach()
            for what, module in modules.items()
            for name, parameter in module.named_parameters()
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint that one process wrote, or an older version; the agent has its weights already."""
        self.optimizer.load_state_dict(state["optimizer"])
        trained = state["module"] or self.agents.state_dict()
        for module, weights in ((self.component.module, trained), (self.average, self.agents.state_dict())):
            with torch.no_grad():
                for name, parameter in module.named_parameters():
                    parameter.copy_(part(weights[name], parameter))


class LedInParts(Led):
    """A phase of rank 0 that the other processes follow, and that all of them hold parts of."""

    def __init__(self, name: str, phase: Phase, *rest: Any) -> None:
        """As :class:`Led`; ``phase`` is a :class:`ShardedPhase`."""
        assert isinstance(phase, ShardedPhase)
        super().__init__(name, phase, *rest)
        self.sharded = phase

    def save_parts(self, folder: Path) -> None:
        """Save everywhere."""
        self.group.share((self.name, "save_parts", (folder,)))
        self.sharded.save_parts(folder)

    def load_parts(self, state: Mapping[str, Any], folder: Path) -> None:
        """Continue from a checkpoint, which every process reads for itself."""
        self.sharded.load_parts(state, folder)
