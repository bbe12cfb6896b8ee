"""The policy's distribution over actions: sampling, log-probabilities and entropy.

Choices are categorical, buttons are Bernoulli, and axes are tanh-normal: a normal variable, squashed by tanh and scaled
to the range of the axis. All parts of an action are independent given the frames. The policy outputs P parameters for
an action in this order: the logits of every choice, a logit for every button, a mean for every axis, and a number for
every axis that :func:`_split` maps to its standard deviation.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.core.seeding import sample_categorical

LOG_STD_MIN, LOG_STD_MAX = math.log(0.1), 0.5  # limits for the normal variable of an axis
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(32)  # for the quadrature of its entropy
TANH_MARGIN = 1e-6  # squashed values stay this far from -1 and 1, where atanh is infinite
GREEDY_BELOW = 1e-30  # dividing logits by a lower temperature could overflow float32


def num_parameters(spec: ActionSpec) -> int:
    """The number P of distribution parameters that a policy outputs for an action."""
    return sum(len(choice.options) for choice in spec.choices) + len(spec.buttons) + 2 * len(spec.axes)


def check_temperature(temperature: float) -> None:
    """Raise UserError for a temperature that :func:`sample_action` cannot use."""
    if not 0 <= temperature < math.inf:  # also true for NaN
        raise UserError(f"`temperature` is {temperature}; it must be at least 0 (0 is greedy) and finite")


def sample_action(
    spec: ActionSpec, parameters: Tensor, generator: Generator, temperature: float = 1.0, epsilon: float = 0.0
) -> Tensor:
    """Draw actions.

    Args:
        spec: describes the actions.
        parameters: (B, P), the policy's output.
        generator: source of randomness.
        temperature: at least 0; divides the logits and multiplies the standard deviations. At 0, and below
            :data:`GREEDY_BELOW`, the most likely choices and buttons are taken, and the means of the axes.
        epsilon: probability of a uniformly random action instead.

    Returns:
        (B, ``*spec.shape``).

    Raises:
        ValueError: the temperature is negative or NaN.
    """
    if not temperature >= 0:
        raise ValueError(f"temperature is {temperature}; it must be at least 0")
    choices, buttons, mean, std = _split(spec, parameters.float())
    entries: list[Tensor] = []
    greedy = temperature < GREEDY_BELOW
    for logits in choices:
        entries.append(
            logits.argmax(dim=-1) if greedy else sample_categorical(logits / temperature, generator)
        )
    if spec.buttons:
        prob = (buttons > 0).float() if greedy else (buttons / temperature).sigmoid()
        entries.extend((_uniform(prob, generator) < prob).unbind(-1))
    if spec.axes:
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        entries.extend(_scale(spec, (mean + temperature * std * noise).tanh()).unbind(-1))
    action = _join(spec, entries)
    if epsilon > 0:
        explore = torch.rand(len(parameters), generator=generator, device=parameters.device) < epsilon
        explore = explore.view(-1, *(1 for _ in spec.shape))
        action = torch.where(explore, _uniform_action(spec, parameters, generator), action)
    return action


def log_prob_and_entropy(spec: ActionSpec, parameters: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities (log-densities for axes) of actions, and the entropy of the policy's distribution.

    Args:
        spec: describes the actions.
        parameters: (..., P), the policy's output.
        action: (..., ``*spec.shape``).

    Returns:
        Two tensors (...), summed over the parts of an action. The entropy of an axis is that of the squashed and
        scaled variable. It has no closed form, and is integrated numerically to within 0.001.
    """
    choices, buttons, mean, std = _split(spec, parameters)
    entries = action[..., None] if spec.is_discrete else action  # (..., D)
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
        low, high = _bounds(spec, mean)
        half = (high - low) / 2
        squashed = (entries[..., -len(spec.axes) :] - low) / half - 1
        squashed = squashed.clamp(TANH_MARGIN - 1, 1 - TANH_MARGIN)
        x = (squashed.atanh() - mean) / std
        log_normal = -x.square() / 2 - std.log() - math.log(2 * math.pi) / 2
        log_prob = log_prob + (log_normal - (1 - squashed.square()).log() - half.log()).sum(dim=-1)
        entropy = entropy + (_squashed_entropy(mean, std) + half.log()).sum(dim=-1)
    return log_prob, entropy


def _split(spec: ActionSpec, parameters: Tensor) -> tuple[list[Tensor], Tensor, Tensor, Tensor]:
    """Split parameters into logits of the choices and buttons, and means and standard deviations of the axes."""
    options = [len(choice.options) for choice in spec.choices]
    *choices, buttons, mean, spread = torch.split(
        parameters, [*options, len(spec.buttons), len(spec.axes), len(spec.axes)], dim=-1
    )
    # log std is a sigmoid between its limits; an untrained policy outputs 0, which gives a standard deviation of 1.
    share = (spread - math.log(LOG_STD_MAX / -LOG_STD_MIN)).sigmoid()
    return choices, buttons, mean, (LOG_STD_MIN + (LOG_STD_MAX - LOG_STD_MIN) * share).exp()


def _join(spec: ActionSpec, entries: list[Tensor]) -> Tensor:
    """Join D tensors (B,) into actions (B, ``*spec.shape``)."""
    return entries[0] if spec.is_discrete else torch.stack([entry.float() for entry in entries], dim=-1)


def _uniform(like: Tensor, generator: Generator) -> Tensor:
    return torch.rand(like.shape, generator=generator, device=like.device)


def _uniform_action(spec: ActionSpec, parameters: Tensor, generator: Generator) -> Tensor:
    """Draw actions (B, ``*spec.shape``) uniformly from all options, button states and positions."""
    b, device = len(parameters), parameters.device
    entries = [
        torch.randint(len(choice.options), (b,), generator=generator, device=device)
        for choice in spec.choices
    ]
    entries += [torch.randint(2, (b,), generator=generator, device=device) for _ in spec.buttons]
    if spec.axes:
        position = torch.rand((b, len(spec.axes)), generator=generator, device=device)
        entries += _scale(spec, 2 * position - 1).unbind(-1)
    return _join(spec, entries)


def _bounds(spec: ActionSpec, like: Tensor) -> tuple[Tensor, Tensor]:
    """Lower and upper bounds of the axes, (axes,) each, on the device of ``like``."""
    # new_full fills the tensors on the device; copying a list of numbers there would wait for the device.
    low = torch.stack([like.new_full((), axis.low) for axis in spec.axes])
    high = torch.stack([like.new_full((), axis.high) for axis in spec.axes])
    return low, high


def _scale(spec: ActionSpec, x: Tensor) -> Tensor:
    """Map (..., axes) from [-1, 1] to the ranges of the axes."""
    low, high = _bounds(spec, x)
    return torch.lerp(low, high, (x + 1) / 2).clamp(low, high)


def _squashed_entropy(mean: Tensor, std: Tensor) -> Tensor:
    """Entropy of tanh(x) for normal x: the entropy of x plus E[log tanh'(x)], by Gauss-Hermite quadrature."""
    nodes, weights = mean.new_tensor(NODES), mean.new_tensor(WEIGHTS / WEIGHTS.sum())
    x = mean[..., None] + std[..., None] * nodes
    log_slope = 2 * (math.log(2) - x - F.softplus(-2 * x))
    return (math.log(2 * math.pi * math.e) / 2 + std.log()) + (log_slope * weights).sum(dim=-1)
