"""What is measured of dreams of some windows, and of the baselines beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from adamas.core.seeding import derive_seed
from adamas.dreaming.continuation import Continuation
from adamas.fidelity.drift import OTHER_ACTIONS, distances_by_step, means, rewards_and_ends
from adamas.fidelity.frechet_samples import frechet_distances
from adamas.fidelity.networks import Networks
from adamas.fidelity.results import DreamResults, StepMeans


@dataclass(frozen=True)
class Measured:
    """Results, and the squared errors from which margins are computed, (B, T).

    Attributes:
        results: the results.
        error: squared errors of the dreams or of the baseline.
        other_error: squared errors of the same dreams under other actions; None for a baseline.
    """

    results: DreamResults
    error: np.ndarray
    other_error: np.ndarray | None = None


class Measure:
    """Measures dreams of the same B windows."""

    def __init__(self, episode: np.ndarray, networks: Networks, seed: int) -> None:
        """Measure dreams of windows from these episodes, (B,); ``seed`` is that of the intervals."""
        self.episode, self.networks, self.seed = episode, networks, derive_seed(seed, "bootstrap")

    def dreams(self, dreams: Continuation, others: Continuation) -> Measured:
        """Measure the distances, rewards and ends, and Frechet distances of an agent's dreams.

        Args:
            dreams: the dreams.
            others: the same dreams under other actions, drawn by the same sampler.
        """
        found = self.baseline(dreams)
        frechet = {
            name: frechet_distances(dreams, self.episode, features)
            for name, features in self.networks.features.items()
        }
        results = replace(found.results, rewards_and_ends=rewards_and_ends(dreams), frechet=frechet)
        return Measured(results, found.error, distances_by_step(others, lpips=None)["mse"])

    def baseline(self, frames: Continuation) -> Measured:
        """Measure the distances of a baseline."""
        found = distances_by_step(frames, self.networks.lpips)
        return Measured(
            DreamResults({name: self._means(values) for name, values in found.items()}), found["mse"]
        )

    def with_margins(
        self, dreams: Mapping[str, Measured], baselines: Mapping[str, Measured]
    ) -> dict[str, DreamResults]:
        """All results by name; those of dreams with the margin to each baseline, from differences pair by pair.

        The margin to other actions is that to the same dreams, so each of them has its own.
        """
        errors = {name: baseline.error for name, baseline in baselines.items()}
        found = {}
        for name, own in dreams.items():
            of_others = {} if own.other_error is None else {OTHER_ACTIONS: own.other_error}
            margin = {other: self._means(error - own.error) for other, error in (errors | of_others).items()}
            found[name] = replace(own.results, margin=margin)
        return found | {name: baseline.results for name, baseline in baselines.items()}

    def _means(self, values: np.ndarray) -> StepMeans:
        return means(values, self.episode, self.seed)
