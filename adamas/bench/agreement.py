"""Numerical agreement of two ways to compute the same networks: relative errors of outputs and of gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from adamas.agent import Agent, AgentConfig
from adamas.core.runtime import device_of, fixed_shapes

SMALL = 1e-3  # smallest denominator of a relative error, as a share of the largest number in all tensors
REPLAYS = 4  # calls of a network; the second or third call captures its CUDA graph
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
on a CPU (0.014 in outputs, 0.23 in gradients). Those of tf32 are more than an eighth of that, since tf32 has three bits
more. Those of fp32 are far above the errors of another order of summation (2e-6 and 9e-6). Errors of gradients are
larger, because rounding can decide which of two nearly equal neighbours a max-pooling layer takes.
"""


class Answer(NamedTuple):
    """The result of a network for fixed inputs, on the CPU: outputs, and gradients with respect to its parameters."""

    outputs: list[Tensor]
    gradients: list[Tensor]


def fixed_agent(config: AgentConfig) -> Agent:
    """Build an agent whose weights are always the same. Layers that training initialises to zero get random weights,
    because zero weights would hide what the layers before them compute."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        agent = Agent(config)
        for parameter in agent.parameters():
            if not parameter.any():
                nn.init.normal_(parameter, std=0.05)
    return agent


def answers(agent: Agent) -> dict[str, Answer]:
    """Compute the networks that the agent has for fixed inputs, on its device: denoiser, reward/end model, policy."""
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
    found = {"denoiser": _answer(denoiser, [noisy])}
    if (judge := agent.world_model.reward_end) is not None:
        frames = rand(3, BATCH_SIZE, STEPS + 1, *small)
        reward, end, _ = judge(frames[:, :-1], action(STEPS), frames[:, 1:])
        found["reward/end model"] = _answer(judge, [reward, end])
    if (policy := agent.actor_critic) is not None:
        pixels = (127 + 50 * rand(4, STEPS, BATCH_SIZE, *config.obs_shape)).clamp(0, 255).byte()
        state, seen = policy.initial_state(BATCH_SIZE), []
        for obs in pixels:
            output = policy(obs, state)
            state = output.state
            seen += [output.logits, output.value]
        found["actor-critic"] = _answer(policy, seen)
    return found


@torch.no_grad()
def replayed_answers(agent: Agent) -> dict[str, Answer]:
    """Compute the denoiser as dreams do, with fixed shapes: as a CUDA graph if it is compiled for a GPU.

    Returns the outputs of the last call, whose inputs differ from those that the graph was captured with.
    """
    device, config = device_of(agent), agent.config
    small, length = config.world_model.small_shape(config.obs_shape), agent.world_model.context_length
    spec = config.actions
    action = torch.zeros((BATCH_SIZE, length, *spec.shape), dtype=spec.dtype, device=device)
    for seed in range(REPLAYS):
        generator = torch.Generator().manual_seed(seed)
        frames = torch.randn((BATCH_SIZE, length + 1, *small), generator=generator).to(device)
        level = torch.randn(BATCH_SIZE, generator=generator).to(device)
        with fixed_shapes():
            output = agent.denoiser.inner_model(frames[:, -1], level, frames[:, :-1], action)
    return {"denoiser": Answer([output.cpu()], [])}


def _answer(module: nn.Module, outputs: list[Tensor]) -> Answer:
    """Collect outputs, and gradients of a weighted sum of them. Its weights are the same on every device."""
    generator = torch.Generator().manual_seed(5)
    weights = [torch.randn(output.shape, generator=generator).to(output.device) for output in outputs]
    total = torch.stack(
        [(output * weight).mean() for output, weight in zip(outputs, weights, strict=True)]
    ).sum()
    parameters = list(module.parameters())
    gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    return Answer(
        [output.detach().float().cpu() for output in outputs],
        [
            torch.zeros(parameter.shape) if gradient is None else gradient.float().cpu()
            for parameter, gradient in zip(parameters, gradients, strict=True)
        ],
    )


def relative_error(ours: Sequence[Tensor], reference: Sequence[Tensor]) -> float:
    """The largest absolute difference of any pair of tensors, relative to the largest number in its reference.

    The denominator is at least :data:`SMALL` times the largest number of all reference tensors. The result is NaN if
    ``ours`` contains NaN, and 0 if there are no tensors.
    """
    largest = max((float(tensor.abs().max()) for tensor in reference), default=0.0)
    errors = [
        float((a - b).abs().max()) / max(float(b.abs().max()), SMALL * largest, 1e-30)
        for a, b in zip(ours, reference, strict=True)
    ]
    return max(errors, key=lambda error: (error != error, error), default=0.0)
