"""Estimates over moments of the real game, and the rows of a table that show them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from adamas.evaluation.evaluate import bootstrap_interval
from adamas.fidelity.action_sensitivity import Sensitivity
from adamas.fidelity.coverage import Agreement, OutcomeComparison
from adamas.fidelity.results import (
    ActionEffects,
    ActionSensitivity,
    DreamAndGame,
    DreamResults,
    Estimate,
    Outcomes,
)

AGREEMENTS = {
    "coverage": "coverage",
    "precision": "precision",
    "total_variation": "total variation",
    "energy": "energy distance",
}
"""Names of the numbers of an agreement, and what a table calls them."""


def summarise_outcomes(found: OutcomeComparison, seed: int) -> dict[int, Outcomes]:
    """Average the agreement of dreams, and of a second set of real continuations, over K moments.

    Args:
        found: the agreement in each moment.
        seed: of the bootstrap intervals.

    Returns:
        The estimates by number of steps after the moment.
    """

    def compared(name: str, i: int) -> DreamAndGame:
        def of(agreement: Agreement) -> Estimate:
            return estimate(getattr(agreement, name)[:, i], seed)

        return DreamAndGame(of(found.dream), of(found.game))

    return {
        step: Outcomes(float(found.num_modes[:, i].mean()), *(compared(name, i) for name in AGREEMENTS))
        for i, step in enumerate(found.steps)
    }


def summarise_sensitivity(found: Sensitivity, names: Sequence[str], seed: int) -> ActionSensitivity:
    """Average the action sensitivity over the moments in which actions change something in the game.

    Args:
        found: the action sensitivity in each moment.
        names: names of the A actions.
        seed: of the bootstrap intervals.
    """
    decisive = found.decisive
    some = bool(decisive.any())

    def effects(change: np.ndarray) -> dict[str, float]:
        return dict(zip(names, change[decisive].mean(axis=0).tolist(), strict=True)) if some else {}

    return ActionSensitivity(
        steps=found.horizon,
        decisive=float(decisive.mean()),
        accuracy=estimate(found.accuracy[decisive], seed),
        chance=estimate(found.chance[decisive], seed),
        correlation=estimate(found.correlation[decisive], seed),
        told_apart=estimate(np.nanmean(found.told_apart[decisive], axis=(1, 2)), seed),
        change=ActionEffects(dream=effects(found.dream_change), game=effects(found.game_change)),
        confusion=found.confusion.tolist() if some else None,
        perfect_confusion=found.perfect_confusion.tolist() if some else None,
        pairs=_pairs(found, names, seed),
    )


def _pairs(found: Sensitivity, names: Sequence[str], seed: int) -> dict[str, Estimate]:
    """By the names of two actions: how often they are told apart, in the moments in which they differ in the game."""
    pairs = {}
    for i, j in itertools.combinations(range(len(names)), 2):
        values = found.told_apart[:, i, j]
        pairs[f"{names[i]}, {names[j]}"] = estimate(values[~np.isnan(values)], seed)
    return pairs


def estimate(values: np.ndarray, seed: int) -> Estimate:
    """The mean of (K,) values with its 95 % bootstrap interval; all None if K is 0, no interval if K is 1."""
    low, high = bootstrap_interval(values, seed) or (None, None)
    return Estimate(float(values.mean()) if len(values) else None, low, high)


def moment_rows(found: Mapping[str, DreamResults]) -> Iterator[tuple[str, list[str]]]:
    """Rows of a table, label and cells, with a column for each entry of ``found``; some entry must have moments."""
    columns = [results.moments for results in found.values()]
    first = next(moments for moments in columns if moments is not None)
    for step, outcomes in first.outcomes.items():
        for name, words in AGREEMENTS.items():
            label = f"{words}, step {step} (the game's own: {getattr(outcomes, name).game.mean:.3g})"
            yield label, [shown(getattr(m.outcomes[step], name).dream) if m else "" for m in columns]
    sensitivity = [moments and moments.action_sensitivity for moments in columns]
    chance = first.action_sensitivity.chance.mean
    if chance is not None:
        yield (
            f"action accuracy (by chance {chance:.3g})",
            [shown(s.accuracy) if s else "" for s in sensitivity],
        )
        yield (
            "action pairs told apart (by chance 0.5)",
            [shown(s.told_apart) if s else "" for s in sensitivity],
        )
        yield "correlation of action effects", [shown(s.correlation) if s else "" for s in sensitivity]


def shown(value: Estimate) -> str:
    """``mean [low, high]``, with the bracket escaped for a table; empty if there is no mean."""
    if value.mean is None:
        return ""
    if value.low is None:
        return f"{value.mean:.2g}"
    return f"{value.mean:.2g} \\[{value.low:.2g}, {value.high:.2g}]"
