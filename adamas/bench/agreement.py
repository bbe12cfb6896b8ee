"""Outputs and gradients of an agent's networks for fixed inputs, and how far two such results are apart.

Comparing a device or a precision with fp32 on the CPU shows whether it computes the same (benchmarks/gpu.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from adamas.agent import Agent, AgentConfig
from adamas.core.runtime import device_of, fixed_shapes

MIN_DENOMINATOR = 1e-3  # of a relative error, as a share of the largest magnitude in all reference tensors
NUM_CALLS = 4  # of a network; the second or third call captures its CUDA graph
BATCH_SIZE = 4
STEPS = 3  # time steps of the recurrent networks


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
    """Run the agent's denoiser, reward/end model and actor-critic for fixed inputs, on the agent's device."""
    device, config = device_of(agent), agent.config
    small = config.world_model.small_shape(config.obs_shape)
    length = agent.world_model.context_length
    denoiser = agent.denoiser.inner_model

    def rand(seed: int, *shape: int) -> Tensor:
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device)

    def action(num_steps: int) -> Tensor:
        spec = config.actions
        return torch.zeros((BATCH_SIZE, num_steps, *spec.shape), dtype=spec.dtype, device=device)

    noisy = denoiser(
        rand(0, BATCH_SIZE, *small),
        rand(1, BATCH_SIZE),
        rand(2, BATCH_SIZE, length, *small),
        action(length),
    )
    found = {"denoiser": _result(denoiser, [noisy])}
    if (reward_end := agent.world_model.reward_end) is not None:
        frames = rand(3, BATCH_SIZE, STEPS + 1, *small)
        reward, end, _ = reward_end(frames[:, :-1], action(STEPS), frames[:, 1:])
        found["reward/end model"] = _result(reward_end, [reward, end])
    if (policy := agent.actor_critic) is not None:
        pixels = (127 + 50 * rand(4, STEPS, BATCH_SIZE, *config.obs_shape)).clamp(0, 255).byte()
        state, seen = policy.initial_state(BATCH_SIZE), []
        for obs in pixels:
            output = policy(obs, state)
            state = output.state
            seen += [output.logits, output.value]
        found["actor-critic"] = _result(policy, seen)
    return found


@torch.no_grad()
def cuda_graph_results(agent: Agent) -> dict[str, NetworkResult]:
    """Run the denoiser with fixed shapes, as dreams do. If it is compiled for a GPU, this replays a CUDA graph.

    Returns the outputs of the last call, whose inputs differ from those that the graph was captured with.
    """
    device, config = device_of(agent), agent.config
    small, length = config.world_model.small_shape(config.obs_shape), agent.world_model.context_length
    spec = config.actions
    action = torch.zeros((BATCH_SIZE, length, *spec.shape), dtype=spec.dtype, device=device)
    for seed in range(NUM_CALLS):
        generator = torch.Generator().manual_seed(seed)
        frames = torch.randn((BATCH_SIZE, length + 1, *small), generator=generator).to(device)
        level = torch.randn(BATCH_SIZE, generator=generator).to(device)
        with fixed_shapes():
            output = agent.denoiser.inner_model(frames[:, -1], level, frames[:, :-1], action)
    return {"denoiser": NetworkResult([output.cpu()], [])}


def _result(module: nn.Module, outputs: list[Tensor]) -> NetworkResult:
    """Collect outputs, and gradients of a weighted sum of them. The coefficients are the same on every device."""
    generator = torch.Generator().manual_seed(5)
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
