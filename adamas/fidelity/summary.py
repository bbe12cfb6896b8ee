"""What was found in moments of the real game, as numbers with intervals that can be written and printed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from adamas.evaluation.results import bootstrap_interval
from adamas.fidelity.action_sensitivity import Sensitivity
from adamas.fidelity.coverage import OutcomeComparison

AGREEMENTS = {
    "coverage": "what can happen and is dreamt",
    "precision": "what is dreamt and can happen",
    "total_variation": "total variation",
    "energy": "energy distance",
}
Estimate = dict[str, float | None]


def summarise_outcomes(found: OutcomeComparison, seed: int) -> dict[str, Any]:
    """By step: modes of the game, and the agreement of dreams and of the game's second set, over K moments."""
    return {
        str(step): {
            "modes": float(found.num_modes[:, i].mean()),
            **{
                name: {
                    who: estimate(getattr(agreement, name)[:, i], seed)
                    for who, agreement in (("dream", found.dream), ("game", found.game))
                }
                for name in AGREEMENTS
            },
        }
        for i, step in enumerate(found.steps)
    }


def summarise_sensitivity(found: Sensitivity, names: Sequence[str], seed: int) -> dict[str, Any]:
    """Over the moments in which actions differ: how often the dream obeys, and how much each action changes."""
    decisive = found.decisive
    changes = {
        who: dict(zip(names, change[decisive].mean(axis=0).tolist(), strict=True)) if decisive.any() else {}
        for who, change in (("dream", found.dream_change), ("game", found.game_change))
    }
    return {
        "steps": found.horizon,
        "decisive": float(decisive.mean()),
        "accuracy": estimate(found.accuracy[decisive], seed),
        "chance": estimate(found.chance[decisive], seed),
        "correlation": estimate(found.correlation[decisive], seed),
        "told_apart": estimate(np.nanmean(found.told_apart[decisive], axis=(1, 2)), seed),
        "change": changes,
        "confusion": found.confusion.tolist() if decisive.any() else None,
        "perfect_confusion": found.perfect_confusion.tolist() if decisive.any() else None,
        "pairs": _pairs(found, names, seed),
    }


def _pairs(found: Sensitivity, names: Sequence[str], seed: int) -> dict[str, Estimate]:
    """By the names of two actions: in how many of the moments in which they differ they are told apart."""
    pairs = {}
    for i, j in itertools.combinations(range(len(names)), 2):
        values = found.told_apart[:, i, j]
        pairs[f"{names[i]}, {names[j]}"] = estimate(values[~np.isnan(values)], seed)
    return pairs


def estimate(values: np.ndarray, seed: int) -> Estimate:
    """Mean over moments and its 95 % bootstrap interval; None without moments."""
    if not len(values):
        return {"mean": None, "low": None, "high": None}
    low, high = bootstrap_interval(values, seed)
    return {"mean": float(values.mean()), "low": low, "high": high}


def moment_rows(found: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    """Rows of a table with one column for each sampler; those without moments stay empty."""
    measured = [one.get("moments") for one in found.values()]
    first = next(one for one in measured if one)
    for step, outcome in first["outcomes"].items():
        for name, words in AGREEMENTS.items():
            label = f"{words}, step {step} (the game again: {outcome[name]['game']['mean']:.3g})"
            yield label, [shown(one["outcomes"][step][name]["dream"]) if one else "" for one in measured]
    chance = first["obedience"]["chance"]["mean"]
    if chance is not None:
        yield (
            f"looks like its action (by chance {chance:.3g})",
            [shown(one["obedience"]["accuracy"]) if one else "" for one in measured],
        )
        yield (
            "two actions told apart (by chance 0.5)",
            [shown(one["obedience"]["told_apart"]) if one else "" for one in measured],
        )
        yield (
            "correlation of what actions change",
            [shown(one["obedience"]["correlation"]) if one else "" for one in measured],
        )


def shown(found: Mapping[str, Any]) -> str:
    """``mean [low, high]``, with the bracket escaped for a table; empty where there is nothing."""
    if found["mean"] is None:
        return ""
    return "{:.2g} \\[{:.2g}, {:.2g}]".format(*(found[key] for key in ("mean", "low", "high")))
