"""Whether dreams cover what can really happen: many dreams of a moment beside many true continuations of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from adamas.core.protocols import WorldModel
from adamas.core.seeding import derive_seed
from adamas.envs.rewind import BranchingGame
from adamas.fidelity.distances import EXACT_TOLERANCE
from adamas.fidelity.moments import Moment, dream_on, play_on


@dataclass(frozen=True)
class Agreement:
    """How one set of M outcomes agrees with M true ones, for K moments at S steps: (K, S) float64 each.

    Attributes:
        coverage: probability of those true modes that the set hits; 1 if it leaves out none.
        precision: share of the set that lies in a true mode; 1 if it makes nothing up.
        total_variation: half the sum of the differences between the two sets' shares of every mode, in [0, 1].
            Outcomes in no true mode count as a mode of their own. 0 if every mode is as frequent as it should.
        energy: energy distance between the two sets, 0 if they are equal (see :func:`energy_distance`).
    """

    coverage: np.ndarray
    precision: np.ndarray
    total_variation: np.ndarray
    energy: np.ndarray


@dataclass(frozen=True)
class OutcomeComparison:
    """Dreams and the game, compared in K moments at S steps.

    Attributes:
        steps: the S steps after the moment at which frames are compared.
        num_modes: (K, S), how many different frames M true continuations led to.
        dream: the dreams' agreement with those M continuations.
        game: that of another M true continuations. No dream can do better, but by luck.
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
    """Compare M dreams with M true continuations of every moment, and those with M others.

    All of a moment follow the same actions, drawn uniformly: such a sequence does not need a policy, which would
    leave it where chance leads elsewhere or the game ends; it is the same for every agent of a game; and an
    action often differs from the one before, which is where actions that stick make a difference.

    Args:
        world_model: what dreams, on ``device``.
        game: the game the moments are of.
        moments: K moments.
        steps: S steps after the moment at which to compare, in ascending order.
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
    """The numbers of :class:`Agreement`, in order, for two sets of frames, (M, C, H, W) uint8 each."""
    found = modes(reference)
    true, share = shares(reference, found), shares(frames, found)
    return (
        float(true[share > 0].sum()),
        float(1 - share[-1]),
        float((true - share).abs().sum() / 2),
        energy_distance(frames, reference),
    )


def modes(frames: Tensor) -> Tensor:
    """The different ones among (M, C, H, W) uint8 frames: (m, C, H, W).

    Frames are the same as in :func:`adamas.fidelity.distances.exact`. Taken in order, a frame that is the same as
    none before it starts a mode; so which frames stand for blurred modes that run into each other depends on the
    order.
    """
    same = _same(frames, frames)
    chosen: list[int] = []
    for i in range(len(frames)):
        if not same[i, chosen].any():
            chosen.append(i)
    return frames[chosen]


def shares(frames: Tensor, of_modes: Tensor) -> Tensor:
    """Share of (M, C, H, W) frames in each of m modes, and last in none: (m + 1,), float64, adding up to 1.

    A frame that is the same as several belongs to the first of them.
    """
    same = _same(frames, of_modes)  # (M, m)
    mode = torch.where(same.any(dim=1), same.int().argmax(dim=1), len(of_modes))
    return mode.bincount(minlength=len(of_modes) + 1).double() / len(frames)


def energy_distance(frames: Tensor, others: Tensor) -> float:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'| of two sets, (M, C, H, W) uint8 each: at least 0, and 0 for equal sets.

    |.| is the root of the mean squared difference of pixels as fractions of 255. Szekely and Rizzo, "Energy
    statistics", 2013. All pairs count, a frame's with itself as well, so that two sets drawn from one
    distribution are apart by chance: compare with what the game gets.
    """
    x, y = (f.flatten(1).double() / 255 for f in (frames, others))
    # Through inner products it would be faster, but two equal frames would not be exactly 0 apart.
    apart = [
        torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").mean()
        for a, b in ((x, y), (x, x), (y, y))
    ]
    return float(2 * apart[0] - apart[1] - apart[2]) / x.shape[1] ** 0.5


def _same(frames: Tensor, others: Tensor) -> Tensor:
    """(M, M') bool: whether no value is off by more than ``EXACT_TOLERANCE``."""
    x, y = (f.flatten(1).float() for f in (frames, others))
    return torch.cdist(x, y, p=torch.inf) <= EXACT_TOLERANCE


def _collect(found: list[tuple[float, float, float, float]], shape: tuple[int, int]) -> Agreement:
    return Agreement(*(np.array(values).reshape(shape) for values in zip(*found, strict=True)))
