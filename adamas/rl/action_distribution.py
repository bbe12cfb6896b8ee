"""What a policy's numbers say about its actions: how to draw them, how likely they are, how undecided it is.

Choices are categorical, buttons Bernoulli, axes tanh-normal (a normal variable, squashed and stretched to the axis's
ends); all parts are independent given the frames. A policy's numbers for an action stand in this order: the logits of
every choice, a logit for every button, a mean for every axis, and what its standard deviation is made of.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.core.seeding import draw

LOG_STD_MIN, LOG_STD_MAX = math.log(0.1), 0.5  # of the normal variable behind an axis
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(32)  # of the quadrature for its entropy
CLOSEST = 1e-6  # to an axis's ends; there the normal variable is infinite
COLDEST = 1e-30  # below this temperature, logits divided by it may exceed what float32 can hold


def num_parameters(spec: ActionSpec) -> int:
    """How many numbers a policy says about an action: P."""
    return sum(len(choice.options) for choice in spec.choices) + len(spec.buttons) + 2 * len(spec.axes)


def check_temperature(temperature: float) -> None:
    """Refuse a temperature that :func:`sample_action` cannot sample at, as UserError."""
    if not 0 <= temperature < math.inf:  # nor is NaN
        raise UserError(f"temperature is {temperature}; it must be at least 0 (0 is greedy) and finite")


def sample_action(
    spec: ActionSpec, parameters: Tensor, generator: Generator, temperature: float = 1.0, epsilon: float = 0.0
) -> Tensor:
    """Draw actions.

    Args:
        spec: what may be done.
        parameters: (B, P), the policy's.
        generator: source of randomness.
        temperature: at least 0; divides the logits and multiplies the standard deviations. 0, and whatever lies below
            :data:`COLDEST`, takes the most likely choices and buttons, and the middle of the axes' normal variables.
        epsilon: probability of a uniformly random action instead.

    Returns:
        (B, ``*spec.shape``).

    Raises:
        ValueError: a negative temperature, or NaN.
    """
    if not temperature >= 0:
        raise ValueError(f"temperature is {temperature}; it must be at least 0")
    choices, buttons, mean, std = _split(spec, parameters.float())
    entries: list[Tensor] = []
    greedy = temperature < COLDEST
    for logits in choices:
        entries.append(logits.argmax(dim=-1) if greedy else draw(logits / temperature, generator))
    if spec.buttons:
        chance = (buttons > 0).float() if greedy else (buttons / temperature).sigmoid()
        entries.extend((_uniform(chance, generator) < chance).unbind(-1))
    if spec.axes:
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        entries.extend(_stretch(spec, (mean + temperature * std * noise).tanh()).unbind(-1))
    action = _join(spec, entries)
    if epsilon > 0:
        explore = torch.rand(len(parameters), generator=generator, device=parameters.device) < epsilon
        explore = explore.view(-1, *(1 for _ in spec.shape))
        action = torch.where(explore, _uniform_action(spec, parameters, generator), action)
    return action


def log_prob_and_entropy(spec: ActionSpec, parameters: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
    """The logarithm of actions' probabilities (or densities), and the entropy of what they were drawn from.

    Args:
        spec: what may be done.
        parameters: (..., P), the policy's.
        action: (..., ``*spec.shape``).

    Returns:
        Two tensors (...), sums over the parts of an action. The entropy of axes is that of the stretched variable;
        it has no closed form and is integrated numerically, to within 0.001.
    """
    choices, buttons, mean, std = _split(spec, parameters)
    entries = action[..., None] if spec.is_discrete else action  # (..., K)
    log_prob = entropy = parameters.new_zeros(parameters.shape[:-1])
    for i, logits in enumerate(choices):
        log_policy = F.log_softmax(logits, dim=-1)  # (..., A)
        log_prob = log_prob + log_policy.gather(-1, entries[..., i, None].long())[..., 0]
        entropy = entropy - (log_policy.exp() * log_policy).sum(dim=-1)
    if spec.buttons:
        pressed = entries[..., len(spec.choices) : len(spec.choices) + len(spec.buttons)]
        log_prob = log_prob - F.softplus(torch.where(pressed > 0, -buttons, buttons)).sum(dim=-1)
        entropy = entropy + (F.softplus(buttons) - buttons * buttons.sigmoid()).sum(dim=-1)
    if spec.axes:
        low, high = _ends(spec, mean)
        half = (high - low) / 2
        squashed = (entries[..., -len(spec.axes) :] - low) / half - 1
        squashed = squashed.clamp(CLOSEST - 1, 1 - CLOSEST)
        x = (squashed.atanh() - mean) / std
        log_normal = -x.square() / 2 - std.log() - math.log(2 * math.pi) / 2
        log_prob = log_prob + (log_normal - (1 - squashed.square()).log() - half.log()).sum(dim=-1)
        entropy = entropy + (_squashed_entropy(mean, std) + half.log()).sum(dim=-1)
    return log_prob, entropy


def _split(spec: ActionSpec, parameters: Tensor) -> tuple[list[Tensor], Tensor, Tensor, Tensor]:
    """Logits of the choices, logits of the buttons, and means and standard deviations of the axes."""
    options = [len(choice.options) for choice in spec.choices]
    *choices, buttons, mean, spread = torch.split(
        parameters, [*options, len(spec.buttons), len(spec.axes), len(spec.axes)], dim=-1
    )
    # From one limit to the other; 1 for a policy that has learnt nothing yet, whose numbers are 0.
    share = (spread - math.log(LOG_STD_MAX / -LOG_STD_MIN)).sigmoid()
    return choices, buttons, mean, (LOG_STD_MIN + (LOG_STD_MAX - LOG_STD_MIN) * share).exp()


def _join(spec: ActionSpec, entries: list[Tensor]) -> Tensor:
    """K tensors (B,) as actions (B, ``*spec.shape``)."""
    return entries[0] if spec.is_discrete else torch.stack([entry.float() for entry in entries], dim=-1)


def _uniform(like: Tensor, generator: Generator) -> Tensor:
    return torch.rand(like.shape, generator=generator, device=like.device)


def _uniform_action(spec: ActionSpec, parameters: Tensor, generator: Generator) -> Tensor:
    """(B, ``*spec.shape``): every option and every place as likely as the others."""
    b, device = len(parameters), parameters.device
    entries = [
        torch.randint(len(choice.options), (b,), generator=generator, device=device)
        for choice in spec.choices
    ]
    entries += [torch.randint(2, (b,), generator=generator, device=device) for _ in spec.buttons]
    if spec.axes:
        place = torch.rand((b, len(spec.axes)), generator=generator, device=device)
        entries += _stretch(spec, 2 * place - 1).unbind(-1)
    return _join(spec, entries)


def _ends(spec: ActionSpec, like: Tensor) -> tuple[Tensor, Tensor]:
    """(axes,) each: where they begin, and where they end."""
    # Filled in on the device. A list of numbers would be copied there, and the program would wait for that.
    low = torch.stack([like.new_full((), axis.low) for axis in spec.axes])
    high = torch.stack([like.new_full((), axis.high) for axis in spec.axes])
    return low, high


def _stretch(spec: ActionSpec, x: Tensor) -> Tensor:
    """(..., axes) from [-1, 1] to the axes' ends."""
    low, high = _ends(spec, x)
    return torch.lerp(low, high, (x + 1) / 2).clamp(low, high)


def _squashed_entropy(mean: Tensor, std: Tensor) -> Tensor:
    """Of tanh of a normal variable: its own, plus the mean logarithm of tanh's slope (Gauss-Hermite quadrature)."""
    nodes, weights = mean.new_tensor(NODES), mean.new_tensor(WEIGHTS / WEIGHTS.sum())
    x = mean[..., None] + std[..., None] * nodes
    log_slope = 2 * (math.log(2) - x - F.softplus(-2 * x))
    return (math.log(2 * math.pi * math.e) / 2 + std.log()) + (log_slope * weights).sum(dim=-1)
