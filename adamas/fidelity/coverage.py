"""Coverage: whether many dreams of a moment show the same outcomes as many real continuations of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from adamas.core.seeding import derive_seed
from adamas.envs.rewind import BranchingGame
from adamas.fidelity.distances import EXACT_TOLERANCE
from adamas.fidelity.moments import Moment, dream_on, play_on
from adamas.world_models.base import WorldModel


@dataclass(frozen=True)
class Agreement:
    """How well M outcomes agree with M real outcomes.

    Each array is (K, S) float64: K moments, each at S times after it. Equal frames among the real outcomes form a mode
    (see :func:`modes`).

    Attributes:
        coverage: probability, in the game, of the modes that occur in the set; 1 if all occur.
        precision: share of the set that belongs to a mode; 1 if nothing impossible occurs.
        total_variation: half the sum of the absolute differences between the frequencies of each mode, in [0, 1];
            outcomes of no mode count as another mode. 0 if all frequencies are equal.
        energy: energy distance between the two sets, 0 if they are equal (see :func:`energy_distance`).
    """

    coverage: np.ndarray
    precision: np.ndarray
    total_variation: np.ndarray
    energy: np.ndarray


@dataclass(frozen=True)
class OutcomeComparison:
    """Dreams and the game, compared in K moments after S numbers of steps.

    Attributes:
        steps: the S numbers of steps after the moment.
        num_modes: (K, S), number of modes among M real outcomes.
        dream: agreement of M dreams with these M real outcomes.
        game: agreement of another M real outcomes with them: the best that dreams can reach, except by luck.
    """

    steps: tuple[int, ...]
    num_modes: np.ndarray
    dream: Agreement
    game: Agreement


def compare_outcomes(
    world_model: WorldModel,
    game: BranchingGame,
    moments: Sequence[Moment],
    *,
    steps: Sequence[int] = (1, 4),
    num_draws: int = 100,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> OutcomeComparison:
    """Compare M dreams of each moment with M real continuations, and a second set of M real ones with the first.

    All continuations of a moment follow the same random actions. Unlike the actions of a policy, they do not depend on
    what happens, they are the same for all agents, and they change often, which is when sticky actions matter.

    Args:
        world_model: the world model, on ``device``.
        game: the game of the moments.
        moments: K moments.
        steps: the S numbers of steps after the moment, in ascending order.
        num_draws: M.
        seed: everything random follows from it.
        device: where the world model computes.
    """
    rng = np.random.default_rng(derive_seed(seed, "outcomes"))
    generator = Generator(device).manual_seed(derive_seed(seed, "outcomes", "dreams"))
    at = torch.tensor(steps) - 1
    num_modes, dream, true = [], [], []
    for moment in moments:
        actions = torch.from_numpy(rng.integers(game.action_spec.num_actions, size=max(steps)))
        seeds = rng.integers(2**31, size=2 * num_draws).tolist()
        real = torch.stack([play_on(game, moment, actions, one)[at] for one in seeds])  # (2 M, S, C, H, W)
        same = torch.zeros(num_draws, dtype=torch.int64)
        context = moment.context[same]  # M times
        dreams = dream_on(world_model, context, actions.expand(num_draws, -1), generator)[:, at]
        for reference, other, drawn in zip(*(x.unbind(1) for x in (*real.chunk(2), dreams)), strict=True):
            num_modes.append(len(modes(reference)))
            dream.append(agreement(drawn, reference))
            true.append(agreement(other, reference))
    shape = (len(moments), len(steps))
    return OutcomeComparison(
        tuple(steps), np.array(num_modes).reshape(shape), _collect(dream, shape), _collect(true, shape)
    )


def agreement(frames: Tensor, reference: Tensor) -> tuple[float, float, float, float]:
    """The four numbers of :class:`Agreement`, in order, for two sets of frames, (M, C, H, W) uint8 each."""
    found = modes(reference)
    true, share = shares(reference, found), shares(frames, found)
    return (
        float(true[share > 0].sum()),
        float(1 - share[-1]),
        float((true - share).abs().sum() / 2),
        energy_distance(frames, reference),
    )


def modes(frames: Tensor) -> Tensor:
    """The m modes among M frames: (M, C, H, W) uint8 to (m, C, H, W), one frame for each mode.

    Frames are equal as in :func:`adamas.fidelity.distances.exact`. In the order of the frames, each frame that equals
    no earlier mode starts a new mode. So the modes of blurred frames depend on the order.
    """
    same = _same(frames, frames)
    chosen: list[int] = []
    for i in range(len(frames)):
        if not same[i, chosen].any():
            chosen.append(i)
    return frames[chosen]


def shares(frames: Tensor, of_modes: Tensor) -> Tensor:
    """Frequencies among M frames, (M, C, H, W) uint8, of m modes and, last, of no mode: (m + 1,) float64.

    They sum to 1. A frame that equals several modes belongs to the first of them.
    """
    same = _same(frames, of_modes)  # (M, m)
    mode = torch.where(same.any(dim=1), same.int().argmax(dim=1), len(of_modes))
    return mode.bincount(minlength=len(of_modes) + 1).double() / len(frames)


def energy_distance(frames: Tensor, others: Tensor) -> float:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'| of two sets, (M, C, H, W) uint8 each: at least 0, and 0 for equal sets.

    |.| is the root mean squared difference of pixels, as fractions of 255. Szekely and Rizzo, "Energy statistics",
    2013. Pairs of a frame with itself count too, so two samples of the same distribution have a distance above 0:
    compare it with the distance of a second sample of the game.
    """
    x, y = (f.flatten(1).double() / 255 for f in (frames, others))
    # Inner products would be faster, but the distance of two equal frames would not be exactly 0.
    apart = [
        torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").mean()
        for a, b in ((x, y), (x, x), (y, y))
    ]
    return float(2 * apart[0] - apart[1] - apart[2]) / x.shape[1] ** 0.5


def _same(frames: Tensor, others: Tensor) -> Tensor:
    """(M, M') bool: whether no pixel value differs by more than ``EXACT_TOLERANCE``."""
    x, y = (f.flatten(1).float() for f in (frames, others))
    return torch.cdist(x, y, p=torch.inf) <= EXACT_TOLERANCE


def _collect(found: list[tuple[float, float, float, float]], shape: tuple[int, int]) -> Agreement:
    return Agreement(*(np.array(values).reshape(shape) for values in zip(*found, strict=True)))
