"""What is found out about dreams of some windows, and about baselines beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from adamas.core.seeding import derive_seed
from adamas.dreaming.continuation import Continuation
from adamas.dreaming.windows import Windows
from adamas.fidelity.drift import agreement, distances, means
from adamas.fidelity.frechet_samples import Features, population_distance
from adamas.fidelity.lpips import Lpips


class Measure:
    """What is measured of dreams, and of baselines that they should be closer to the truth than."""

    def __init__(
        self,
        windows: Windows,
        lpips: Lpips | None,
        features: Mapping[str, tuple[Features, bool]],
        seed: int,
    ) -> None:
        """Measure on some windows.

        Args:
            windows: what dreams, and baselines, go on from.
            lpips: network of the perceptual distance, if there is one.
            features: what populations are compared by, by name.
            seed: of the intervals.
        """
        self.episode, self.lpips, self.features = windows.episode, lpips, features
        self.seed = derive_seed(seed, "bootstrap")
        self.found: dict[str, Any] = {}
        self._errors: dict[str, np.ndarray] = {}  # squared, of each sampler's dreams

    def dreams(self, name: str, dreams: Continuation) -> None:
        """Distances, what the dreams judge, and what they are like taken together."""
        self._errors[name] = self._distances(name, dreams)
        populations = {
            kind: population_distance(dreams, self.episode, *features)
            for kind, features in self.features.items()
        }
        self.found[name] |= {"agreement": agreement(dreams), "populations": populations, "margin": {}}

    def baseline(self, name: str, frames: Continuation) -> None:
        """Distances, and how much smaller those of the dreams are, pair by pair."""
        error = self._distances(name, frames)
        self.found[name] |= {"agreement": {}, "populations": {}}
        for dreamt, own in self._errors.items():
            self.found[dreamt]["margin"][name] = means(error - own, self.episode, self.seed)

    def _distances(self, name: str, frames: Continuation) -> np.ndarray:
        found = distances(frames, self.lpips)
        self.found[name] = {kind: means(values, self.episode, self.seed) for kind, values in found.items()}
        return found["mse"]
