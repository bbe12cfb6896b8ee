"""How far two ways of computing the same networks are apart: outputs, and gradients by every weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from adamas.agent import Agent, AgentConfig
from adamas.core.runtime import device_of, fixed_shapes

SMALL = 1e-3  # of the largest number in a list of tensors: errors relative to less than that say nothing
REPLAYS = 4  # a CUDA graph is recorded in the second or third call of a network
BATCH_SIZE = 4
STEPS = 3  # of the recurrent networks


class Tolerance(NamedTuple):
    """The largest relative errors that rounding explains (:func:`relative_error`)."""

    outputs: float
    gradients: float


TOLERANCES = {
    "fp32": Tolerance(1e-4, 5e-3),
    "tf32": Tolerance(1e-2, 1e-1),
    "bf16": Tolerance(5e-2, 5e-1),
}
"""Tolerances by precision. Those of bf16 are two to four times the errors that rounding caused in the paper's networks
on a CPU (0.014 in outputs, 0.23 in gradients). Those of tf32 are more than an eighth of that, since tf32 has three bits
more. Those of fp32 are far above the errors of another order of summation (2e-6 and 9e-6). Errors are larger in
gradients than in outputs: where two neighbours are nearly equal, rounding decides which of them a pooling layer takes.
"""


class Answer(NamedTuple):
    """What a network gives for fixed inputs, in CPU memory: its outputs, and gradients by its parameters."""

    outputs: list[Tensor]
    gradients: list[Tensor]


def fixed_agent(config: AgentConfig) -> Agent:
    """An agent whose weights are always the same. None are zero, as some are at the start of training: they would hide
    what the layers before them compute."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        agent = Agent(config)
        for parameter in agent.parameters():
            if not parameter.any():
                nn.init.normal_(parameter, std=0.05)
    return agent


def answers(agent: Agent) -> dict[str, Answer]:
    """What the denoiser, the reward/end model and the policy compute for fixed inputs, on the agent's device."""
    device, config = device_of(agent), agent.config
    small = config.world_model.small_shape(config.obs_shape)
    length = agent.world_model.context_length
    denoiser, policy = agent.denoiser.inner_model, agent.actor_critic

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
    """What the denoiser computes where its shapes never change, as in a dream: as a CUDA graph, where it is compiled.

    The inputs of the last call, whose outputs are returned, are others than those that the graph was recorded with.
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
    """The outputs, and the gradients of a weighted sum of them. The weights are the same on every device."""
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
    """The largest difference between tensors, relative to the largest number in the reference's tensor.

    A tensor whose numbers are all smaller than :data:`SMALL` times the largest number of all reference tensors is
    compared with that product instead. The result is NaN if ``ours`` holds a NaN, and 0 if there are no tensors.
    """
    largest = max((float(tensor.abs().max()) for tensor in reference), default=0.0)
    errors = [
        float((a - b).abs().max()) / max(float(b.abs().max()), SMALL * largest, 1e-30)
        for a, b in zip(ours, reference, strict=True)
    ]
    return max(errors, key=lambda error: (error != error, error), default=0.0)
