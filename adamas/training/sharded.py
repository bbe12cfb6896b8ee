"""World models too big for one process: each keeps a part of every parameter (PyTorch's FSDP2), and all of the agent.

Parameters come together block by block while a network computes, gradients are averaged on their way back to the parts,
and the optimiser knows parts alone. Checkpoints hold whole tensors: those of a run that is not sharded.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from adamas.core.errors import UserError
from adamas.core.protocols import Component
from adamas.core.runtime import device_of
from adamas.diffusion.denoiser import FrameDiffusion
from adamas.nn.blocks import ResBlocks
from adamas.training.config import ComponentTraining
from adamas.training.learning import ComponentPhase
from adamas.training.optim import Gradient, NonFiniteLossError, Optimizer, average_weight

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


def whole(tree: Any) -> Any:
    """Nested dictionaries and lists, with sharded tensors put together on the CPU; every process must ask for it."""
    if isinstance(tree, Mapping):
        return {name: whole(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [whole(value) for value in tree]
    return tree.full_tensor().cpu() if isinstance(tree, DTensor) else tree


def part(tensor: Tensor, like: Tensor) -> DTensor:
    """This process's part of a whole ``tensor`` that is to lie as the sharded ``like``; asks no other process."""
    assert isinstance(like, DTensor)
    tensor = tensor.to(like.device)
    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)


class ShardedOptimizer(Optimizer):
    """An optimiser of parts. Gradients of a batch's shards add up in the parameters, so one comes after another."""

    def _adamw_for(self, groups: list[dict[str, Any]]) -> torch.optim.AdamW:
        return torch.optim.AdamW(groups, lr=self.config.lr, eps=self.config.eps)

    def gradient(self, loss: Tensor) -> Gradient:
        """Differentiate one shard's loss."""
        loss.backward()  # type: ignore[no-untyped-call]
        return Gradient(loss.detach(), ())

    def update(self, *shards: Gradient) -> Tensor:
        """As :class:`Optimizer`'s, but waits for the device, to see whether all is finite.

        Raises:
            NonFiniteLossError: in every process alike.
        """
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        torch._foreach_div_(gradients, len(shards))
        loss = torch.stack([shard.loss for shard in shards]).mean()
        self.group.mean_([loss])
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
        """For a checkpoint: whole tensors."""
        return {"adamw": whole(self._adamw.state_dict()), "num_updates": self.num_updates}

    def _laid_out(self, value: Tensor, parameter: Tensor) -> Tensor:
        return part(value, parameter)


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
        """Put the agent's weights together."""
        with torch.no_grad():
            for ours, parts in zip(self.agents.parameters(), self.average.parameters(), strict=True):
                ours.copy_(parts.full_tensor())  # type: ignore[attr-defined]

    def _update_average(self) -> None:
        weight = average_weight(self.config.average_decay, self.optimizer.num_updates)
        with torch.no_grad():
            for mean, parameter in zip(
                self.average.parameters(), self.component.module.parameters(), strict=True
            ):
                mean.to_local().lerp_(parameter.to_local(), weight)  # type: ignore[attr-defined]

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint, which holds the agent too."""
        self.end()
        return whole(super().state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint, whose averaged weights the agent has already."""
        self.optimizer.load_state_dict(state["optimizer"])
        trained = state["module"] or self.agents.state_dict()
        for module, weights in ((self.component.module, trained), (self.average, self.agents.state_dict())):
            with torch.no_grad():
                for name, parameter in module.named_parameters():
                    parameter.copy_(part(weights[name], parameter))
