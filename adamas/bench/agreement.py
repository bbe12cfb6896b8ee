"""Outputs and gradients of an agent's networks for fixed inputs, and how far two such results are apart.

Comparing a device or a precision with fp32 on the CPU shows whether it computes the same (benchmarks/gpu.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.utils._pytree import tree_leaves

from adamas.agent import Agent, AgentConfig
from adamas.core.runtime import device_of, fixed_shapes

MIN_DENOMINATOR = 1e-3  # of a relative error, as a share of the largest magnitude in all reference tensors
NUM_CALLS = 4  # of a network; the second or third call captures its CUDA graph
BATCH_SIZE = 4
STEPS = 3  # time steps of the policy


class Tolerance(NamedTuple):
    """The largest relative errors (:func:`relative_error`) that rounding can explain."""

    outputs: float
    gradients: float


TOLERANCES = {
    "fp32": Tolerance(1e-4, 5e-3),
    "tf32": Tolerance(1e-2, 1e-1),
    "bf16": Tolerance(5e-2, 5e-1),
}
"""Tolerances by precision. Those of bf16 are two to four times the errors that rounding caused in the paper's networks
on a CPU (0.014 in outputs, 0.23 in gradients). tf32 has three more bits of mantissa than bf16, so an
eighth of bf16's tolerances would do; its tolerances are larger than that. Those of fp32 are far above the errors of
another order of summation (2e-6 and 9e-6). Errors of gradients are
larger, because rounding can decide which of two nearly equal neighbours a max-pooling layer takes.
"""


class NetworkResult(NamedTuple):
    """Outputs of a network for fixed inputs, and gradients with respect to its parameters, copied to the CPU."""

    outputs: list[Tensor]
    gradients: list[Tensor]


def fixed_agent(config: AgentConfig) -> Agent:
    """Build an agent whose weights are always the same.

    Parameters that are initialised to zero get random values, because zeros would hide what the layers before them
    compute.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        agent = Agent(config)
        for parameter in agent.parameters():
            if not parameter.any():
                nn.init.normal_(parameter, std=0.05)
    return agent


def network_results(agent: Agent) -> dict[str, NetworkResult]:
    """Call the networks that the world model can show alone, and the policy, for fixed inputs on the agent's device."""
    calls = agent.world_model.example_calls(BATCH_SIZE, Generator().manual_seed(0))
    found = {
        name: _result(call.network, _tensors(call.network(*call.inputs))) for name, call in calls.items()
    }
    if (policy := agent.actor_critic) is not None:
        state, outputs = policy.initial_state(BATCH_SIZE), []
        for features in _seen(agent):
            output = policy(features, state)
            state = output.state
            outputs += [output.logits, output.value]
        found["actor_critic"] = _result(policy, outputs)
    return found


def _seen(agent: Agent) -> Tensor:
    """What the policy sees in a few steps, on its device: noise of shape (STEPS, B, ...)."""
    model = agent.config.world_model
    shape = (STEPS, BATCH_SIZE, *model.feature_shape(agent.config.obs_shape))
    noise = torch.randn(shape, generator=Generator().manual_seed(4))
    seen = (127 + 50 * noise).clamp(0, 255).byte() if model.shows_frames else noise
    return seen.to(device_of(agent))


@torch.no_grad()
def cuda_graph_results(agent: Agent) -> dict[str, NetworkResult]:
    """Call the same networks of the world model with fixed shapes, as dreams do.

    Those that are compiled for a GPU replay CUDA graphs. Returns the outputs of the last call, whose inputs differ from
    those that the graphs were captured with.
    """
    found = {}
    for seed in range(NUM_CALLS):
        calls = agent.world_model.example_calls(BATCH_SIZE, Generator().manual_seed(seed))
        for name, call in calls.items():
            with fixed_shapes():
                outputs = _tensors(call.network(*call.inputs))
            found[name] = NetworkResult([output.cpu() for output in outputs], [])
    return found


def _tensors(outputs: object) -> list[Tensor]:
    """The tensors in what a network returned, which may be nested."""
    return [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor)]


def _result(module: nn.Module, outputs: list[Tensor]) -> NetworkResult:
    """Collect outputs, and gradients of a weighted sum of them. The coefficients are the same on every device."""
    generator = Generator().manual_seed(5)
    weights = [torch.randn(output.shape, generator=generator).to(output.device) for output in outputs]
    total = torch.stack(
        [(output * weight).mean() for output, weight in zip(outputs, weights, strict=True)]
    ).sum()
    parameters = list(module.parameters())
    gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    return NetworkResult(
        [output.detach().float().cpu() for output in outputs],
        [
            torch.zeros(parameter.shape) if gradient is None else gradient.float().cpu()
            for parameter, gradient in zip(parameters, gradients, strict=True)
        ],
    )


def relative_error(ours: Sequence[Tensor], reference: Sequence[Tensor]) -> float:
    """The largest absolute difference of any pair of tensors, relative to the largest magnitude in its reference.

    The denominator is at least :data:`MIN_DENOMINATOR` times the largest magnitude in all reference tensors. The
    result is NaN if ``ours`` contains NaN, and 0 if there are no tensors.
    """
    largest = max((float(tensor.abs().max()) for tensor in reference), default=0.0)
    errors = [
        float((a - b).abs().max()) / max(float(b.abs().max()), MIN_DENOMINATOR * largest, 1e-30)
        for a, b in zip(ours, reference, strict=True)
    ]
    return max(errors, key=lambda error: (error != error, error), default=0.0)  # NaN counts as the largest
