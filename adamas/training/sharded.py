"""Sharding of world models that are too big for one process, with PyTorch's FSDP2 (fully sharded data parallel).

Each process holds a part of every parameter. FSDP2 gathers whole parameters block by block while a network computes
(all-gather), and averages and distributes gradients (reduce-scatter). Each optimiser updates only its own parts. Every
process saves and loads its own parts (:mod:`adamas.training.parts`), and rank 0 assembles the whole agent, tensor by
tensor. A run can be resumed with any number of processes.
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
from adamas.nn.optim import Gradient, NonFiniteLossError, Optimizer, ema_weight
from adamas.rl.part_training import ComponentTraining
from adamas.training.distributed import LeaderPhase
from adamas.training.parts import read_parts, write_parts
from adamas.training.phases import Phase
from adamas.training.update_phases import ComponentPhase

try:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import DTensor, distribute_tensor
except ImportError as error:
    raise UserError(
        f"`runtime.shard_parameters` needs PyTorch 2.7 or newer, this is {torch.__version__}; update it, or leave the "
        "option out"
    ) from error


def shard(module: nn.Module) -> None:
    """Shard a denoiser or an upsampler: each parameter becomes a :class:`DTensor` with this process's part."""
    assert isinstance(module, FrameDiffusion)
    module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # required by FSDP2
    mesh = init_device_mesh(device_of(module).type, (torch.distributed.get_world_size(),))
    for blocks in module.modules():
        if isinstance(blocks, ResBlocks):
            fully_shard(blocks, mesh=mesh)
    fully_shard(module.inner_model, mesh=mesh)


def part(tensor: Tensor, like: Tensor) -> DTensor:
    """Shard a whole ``tensor`` like the sharded ``like``, without communication; returns this process's part."""
    assert isinstance(like, DTensor)
    tensor = tensor.to(like.device)
    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)


class ShardedOptimizer(Optimizer):
    """The optimiser of a sharded module. It uses gradient accumulation, so it computes shards of a batch in turn."""

    def _adamw_for(self, groups: list[dict[str, Any]]) -> torch.optim.AdamW:
        return torch.optim.AdamW(groups, lr=self.config.lr, eps=self.config.eps)

    def gradient(self, loss: Tensor, share: float = 1.0) -> Gradient:
        """Differentiate as :class:`Optimizer` does with gradient accumulation."""
        # Gradients must be summed over the processes, but FSDP2 averages them. The factor corrects for that.
        (loss * share * self.group.size).backward()  # type: ignore[no-untyped-call]
        return Gradient(loss.detach() * share)

    def update(self, *shards: Gradient) -> Tensor:
        """Update as :class:`Optimizer` does, but wait for the device to check that loss and gradients are finite.

        Raises:
            NonFiniteLossError: in all processes, if a loss or a gradient was NaN or infinite.
        """
        loss = torch.stack([shard.loss for shard in shards]).sum()
        self.group.all_reduce([loss])
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
        """The state for a checkpoint, without :meth:`parts`."""
        adamw = self._adamw.state_dict()
        state = {
            number: {name: value for name, value in values.items() if not isinstance(value, DTensor)}
            for number, values in adamw["state"].items()
        }
        return {"adamw": {**adamw, "state": state}, "num_updates": self.num_updates}

    def parts(self) -> dict[str, Tensor]:
        """AdamW's moments of all parameters. Keys are ``NUMBER.NAME``: the parameter's number and the moment's name."""
        return {
            f"{number}.{name}": value
            for number, values in self._adamw.state_dict()["state"].items()
            for name, value in values.items()
            if isinstance(value, DTensor)
        }

    def load_parts(self, state: Mapping[str, Any], folder: Path) -> None:
        """Continue from :meth:`state_dict` and this process's parts of the moments in ``folder``."""
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

    def _match_layout(self, value: Tensor, parameter: Tensor) -> Tensor:
        return value if isinstance(value, DTensor) else part(value, parameter)


class ShardedPhase(ComponentPhase):
    """Trains a sharded denoiser or upsampler. The agent receives the weights after the last update of an epoch."""

    make_optimizer = ShardedOptimizer

    def __init__(
        self, component: Component, agent_module: nn.Module, config: ComponentTraining, *rest: Any
    ) -> None:
        """``agent_module`` is the agent's own, whole module. The other arguments are those of the base class."""
        self.agent_module = agent_module
        ema = component.module
        if config.average_decay:
            ema = copy.deepcopy(ema)
            shard(ema)
        shard(component.module)
        super().__init__(component, ema, config, *rest)

    def end(self) -> None:
        """Assemble the agent's weights in rank 0. All processes must call this at once."""
        with torch.no_grad():
            for target, parts in zip(self.agent_module.parameters(), self.ema.parameters(), strict=True):
                whole = parts.full_tensor()  # type: ignore[attr-defined]
                if self.workers.group.rank == 0:
                    target.copy_(whole)

    def free_agent(self) -> None:
        """Free the memory of the agent's whole weights, which only rank 0 needs."""
        self.agent_module.to("meta")

    def _update_ema(self) -> None:
        weight = ema_weight(self.config.average_decay, self.optimizer.num_updates)
        with torch.no_grad():
            for mean, parameter in zip(
                self.ema.parameters(), self.component.module.parameters(), strict=True
            ):
                mean.to_local().lerp_(parameter.to_local(), weight)  # type: ignore[attr-defined]

    def state_dict(self) -> dict[str, Any]:
        """The state for a checkpoint, in addition to the agent and the parts."""
        self.end()
        state = self.component.module.state_dict()
        buffers = {name: tensor for name, tensor in state.items() if not isinstance(tensor, DTensor)}
        return {"optimizer": self.optimizer.state_dict(), "module": buffers}

    def save_parts(self, folder: Path) -> None:
        """Write this process's parts into a new folder. All processes must call this at once."""
        assert isinstance(self.optimizer, ShardedOptimizer)
        moments = {f"optimizer.{name}": tensor for name, tensor in self.optimizer.parts().items()}
        write_parts(folder, self._weights() | moments)

    def load_parts(self, state: Mapping[str, Any], folder: Path) -> None:
        """Continue from a sharded checkpoint, which any number of processes may have written."""
        assert isinstance(self.optimizer, ShardedOptimizer)
        read_parts(folder, self._weights())
        self.optimizer.load_parts(state["optimizer"], folder)

    def _weights(self) -> dict[str, Tensor]:
        """This process's parts of the trained weights, and of their EMA if there is an EMA."""
        modules = {"module": self.component.module}
        if self.ema is not self.component.module:
            modules["average"] = self.ema
        return {
            f"{what}.{name}": parameter.detach()
            for what, module in modules.items()
            for name, parameter in module.named_parameters()
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a single process's or an older checkpoint, after the agent has been given its weights."""
        self.optimizer.load_state_dict(state["optimizer"])
        trained = state["module"] or self.agent_module.state_dict()
        for module, weights in (
            (self.component.module, trained),
            (self.ema, self.agent_module.state_dict()),
        ):
            with torch.no_grad():
                for name, parameter in module.named_parameters():
                    parameter.copy_(part(weights[name], parameter))


class ShardedLeaderPhase(LeaderPhase):
    """A sharded phase of rank 0, which broadcasts its calls to the other processes."""

    def __init__(self, name: str, phase: Phase, *rest: Any) -> None:
        """``phase`` must be a :class:`ShardedPhase`. The other arguments are those of the base class."""
        assert isinstance(phase, ShardedPhase)
        super().__init__(name, phase, *rest)
        self.sharded = phase

    def save_parts(self, folder: Path) -> None:
        """Write the parts of all processes into a new folder."""
        self.group.broadcast((self.name, "save_parts", (folder,)))
        self.sharded.save_parts(folder)

    def load_parts(self, state: Mapping[str, Any], folder: Path) -> None:
        """Continue from a checkpoint. The other processes read it themselves."""
        self.sharded.load_parts(state, folder)
