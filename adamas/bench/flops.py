"""Counting of the floating-point operations (FLOPs) of a run, from the sizes in its configuration.

A multiply-add counts as two operations. Only convolutions, matrix products, attention and recurrent layers count. A
backward pass takes twice the operations of a forward pass. Each kind of work is done once, for a single sequence or
dream. Networks are built from fake tensors, which have shapes but no values, so that counting takes seconds and no
memory. A world model that looks at values is built with real ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Generator
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from adamas.agent import Agent, AgentConfig
from adamas.bench.contents import phases
from adamas.core.types import Batch
from adamas.training.config import Config

TRAINING = 3  # cost of a forward and a backward pass, in forward passes


def _recurrent_flops(
    inputs: Sequence[int], of_input: Sequence[int], of_state: Sequence[int], *_: Any, **__: Any
) -> int:
    """Operations of a recurrent layer on inputs (T, B, n), given the shapes of its two weights."""
    return 2 * inputs[0] * inputs[1] * (math.prod(of_input) + math.prod(of_state))


def _attention_flops(
    query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any
) -> int:
    """Operations of attention, given the shapes of queries, keys and values."""
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]


CPU_KERNELS = {
    torch.ops.aten.mkldnn_rnn_layer: _recurrent_flops,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
}
"""How to count operations of a CPU that PyTorch does not count."""


@dataclass(frozen=True)
class Flops:
    """Numbers of floating-point operations in a run.

    Attributes:
        calls: of one call of each network that the world model can show alone, for one frame
            (:meth:`~adamas.world_models.base.WorldModel.example_calls`).
        dream_step: of one step of one dream: the world model, and the policy if there is one.
        updates: of one update, by phase.
    """

    calls: Mapping[str, float]
    dream_step: float
    updates: Mapping[str, float]


def count_flops(work: Callable[[], object]) -> int:
    """Call ``work`` and count its operations, except those in other threads."""
    with FlopCounterMode(display=False, custom_mapping=CPU_KERNELS) as counter:
        work()
    return int(counter.get_total_flops())


def run_flops(config: Config, agent: AgentConfig) -> Flops:
    """Count the operations of a run of ``config``, for an agent of the sizes in ``agent``.

    Networks must not have been compiled in this process, because compilers do not support fake tensors.
    """
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            fake = Agent(agent)
        with _AnyNumbers():  # type: ignore[no-untyped-call]
            return _agent_flops(config, fake)
    except (DataDependentOutputException, DynamicOutputShapeException):  # it looks at values
        return _agent_flops(config, Agent(agent))


class _AnyNumbers(TorchDispatchMode):  # type: ignore[no-untyped-call]  # PyTorch's annotations are incomplete
    """Draws random numbers from PyTorch's global generator, because fake tensors do not support others."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = {name: None if name == "generator" else value for name, value in (kwargs or {}).items()}
        return func(*args, **named)


@torch.no_grad()
def _agent_flops(config: Config, agent: Agent) -> Flops:
    model, policy, game = agent.world_model, agent.actor_critic, config.game_parts
    generator, length = Generator(), model.context_length
    context = _segment(agent, length)
    state, seen = model.start(context)
    action = torch.zeros((1, *agent.action_spec.shape), dtype=agent.action_spec.dtype)
    calls = {
        name: count_flops(partial(call.network, *call.inputs))
        for name, call in model.example_calls(1, generator).items()
    }
    acting = 0 if policy is None else count_flops(lambda: policy(seen[:, -1], policy.initial_state(1)))
    dream_step = acting + count_flops(lambda: model.imagine(state, action, generator))
    updates: dict[str, float] = {}
    for name, component in model.components(config.horizon).items():
        segment = _segment(agent, component.segments.num_frames)
        loss = count_flops(partial(component.loss, segment, generator))
        updates[name] = TRAINING * config.training.component(name).batch_size * loss
    if game is not None:
        # A dream that reaches its horizon restarts with a burn-in. Earlier ends cannot be predicted and are left out.
        burn_in = (count_flops(lambda: model.start(context)) + (length - 1) * acting) / config.horizon
        learning = (game.training.learner.passes - 1) * acting  # a dream step has the pass that acts
        imagined = game.training.steps_per_update * (dream_step + learning + burn_in)
        real_steps = game.collection.num_envs * game.training.steps_per_update
        updates["actor_critic"] = game.training.num_dreams * (imagined + acting)
        # In runs without a world model, the policy learns from real steps.
        updates["collect"] = game.training.learner.passes * real_steps * acting
    return Flops(calls, dream_step, {name: updates[name] for name in phases(config, agent)})


def _segment(agent: Agent, num_frames: int) -> Batch:
    """A segment (B = 1) of ``num_frames`` real frames."""
    spec, steps = agent.action_spec, num_frames - 1
    return Batch(
        obs=torch.zeros((1, num_frames, *agent.config.obs_shape), dtype=torch.uint8),
        action=torch.zeros((1, steps, *spec.shape), dtype=spec.dtype),
        reward=torch.zeros((1, steps)),
        terminated=torch.zeros((1, steps), dtype=torch.bool),
        truncated=torch.zeros((1, steps), dtype=torch.bool),
        mask=torch.ones((1, num_frames), dtype=torch.bool),
    )
