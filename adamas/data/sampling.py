"""Random sampling of the segments that a model trains on."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np

from adamas.core.errors import UserError
from adamas.core.types import Batch, SegmentSpec
from adamas.data.locations import Place

EpisodeWeighting = Literal["equal", "length"]
"""How likely each episode of an age group is: see :func:`episode_probabilities`."""


class Segments(Protocol):
    """Episodes of which a sampler reads segments: an :class:`~adamas.data.store.EpisodeStore`, for example."""

    @property
    def folder(self) -> Place:
        """The folder or URL of the episodes, for error messages."""
        ...

    @property
    def lengths(self) -> np.ndarray:
        """(E,) int64: number of frames of each episode, oldest first. The same object until there are others."""
        ...

    def read(
        self, episode: np.ndarray, start: np.ndarray, num_frames: int, end: np.ndarray | None = None
    ) -> Batch:
        """Read segments (:meth:`~adamas.data.store.EpisodeStore.read`)."""
        ...


class SegmentSampler:
    """Draws batches of segments from a store.

    An episode is drawn first (:func:`episode_probabilities`), then one of its frames uniformly, then the position of
    this frame in the segment. With S frames in a segment and U uniform in {0, ..., S - 1}::

        within the episode    frames [stop - S, stop)     stop = min(length, t + 1 + U)
        past_end              frames [start, start + S)   start = t - U

    Segments may begin before frame 0; only with ``past_end`` may they end after the last one. With ``at_edge``, U is 0,
    and with ``past_end`` as well t is not the last frame, so that an action follows it. An episode of n frames has
    ``length`` n, or n - 1 if ``final_frame`` is off; n - 1 of its frames may be t if either leaves the last one out.
    Episodes without a transition (n < 2) are never drawn.
    With ``age_weights`` (0.1, 0.1, 0.1, 0.7) and ``weighting`` "equal", this is the distribution of the published code
    except for two details (docs/departures.md).
    """

    def __init__(
        self,
        store: Segments,
        age_weights: tuple[float, ...] | None = None,
        weighting: EpisodeWeighting = "length",
    ) -> None:
        """Sample from ``store``; the other arguments are those of :func:`episode_probabilities`.

        Raises:
            UserError: the weights are negative or do not sum to 1.
        """
        if age_weights is not None and (
            min(age_weights, default=0) < 0 or not np.isclose(sum(age_weights), 1)
        ):
            raise UserError(f"`age_weights` is {age_weights}; the weights must be at least 0 and sum to 1")
        self.store = store
        self.age_weights = age_weights
        self.weighting: EpisodeWeighting = weighting
        self._lengths = store.lengths
        # By whether the frame that is drawn may be the last one of its episode.
        self._cumulative: dict[bool, np.ndarray] = {}

    def sample(
        self, batch_size: int, spec: SegmentSpec, rng: np.random.Generator, part: slice = slice(None)
    ) -> Batch:
        """Draw ``batch_size`` segments. The same store, spec and state of ``rng`` give the same batch.

        Args:
            batch_size: segments to draw.
            spec: what kind of segments.
            rng: source of randomness.
            part: the segments to read. In data-parallel training every process draws the whole batch and reads its
                part.

        Raises:
            UserError: no episode has a transition yet.
        """
        return self.store.read(*self._draw(batch_size, spec, rng, part))

    def _draw(
        self, batch_size: int, spec: SegmentSpec, rng: np.random.Generator, part: slice
    ) -> tuple[np.ndarray, np.ndarray, int, np.ndarray]:
        """Draw the arguments of :meth:`EpisodeStore.read`."""
        final = spec.final_frame and not (spec.past_end and spec.at_edge)  # whether t may be the last frame
        cumulative = self._cumulative_probabilities(final)
        episode = np.searchsorted(cumulative, rng.random(batch_size), side="right")
        frames = self.store.lengths[episode]
        t, length = rng.integers(frames - (not final)), frames - (not spec.final_frame)
        offset = 0 if spec.at_edge else rng.integers(spec.num_frames, size=batch_size)
        start = t - offset if spec.past_end else np.minimum(length, t + 1 + offset) - spec.num_frames
        return episode[part], start[part], spec.num_frames, length[part]

    def _cumulative_probabilities(self, final: bool) -> np.ndarray:
        if self._lengths is not self.store.lengths:  # the store has changed
            self._lengths = self.store.lengths
            self._cumulative.clear()
        if final not in self._cumulative:
            usable = np.where(self._lengths < 2, 0, self._lengths - (not final))
            probabilities = episode_probabilities(usable, self.age_weights, self.weighting)
            if not probabilities.any():
                raise UserError(
                    f"{self.store.folder}: `age_weights` {self.age_weights} gives no weight to the episodes that have "
                    "a transition; give each group a weight above 0"
                    if usable.any()
                    else f"{self.store.folder} has no transition to train on; it needs an episode of two frames"
                )
            cumulative = np.cumsum(probabilities)
            self._cumulative[final] = cumulative / cumulative[-1]
        return self._cumulative[final]


def episode_probabilities(
    length: np.ndarray,
    age_weights: tuple[float, ...] | None = None,
    weighting: EpisodeWeighting = "length",
) -> np.ndarray:
    """Return the probability of drawing each of E episodes, (E,) float64; all are 0 if no episode has a frame.

    Args:
        length: (E,) int, usable frames of each episode, oldest first. Episodes of length 0 are never drawn.
        age_weights: probabilities of G groups of episodes, oldest first. Each group has E // G episodes, and the
            youngest group also has the remainder. Without weights, or if E < G, the probability of each episode is
            proportional to its length, whatever ``weighting`` is. The share of a group without usable frames is
            divided among the other groups in proportion to their weights.
        weighting: of the episodes of a group. "equal": every episode is equally likely, as in the published code, so
            a frame of a short episode is drawn more often than a frame of a long one. "length": the probability is
            proportional to the length, so every frame of the group is equally likely.
    """
    weight = length.astype(np.float64)
    if age_weights is not None and len(length) >= len(age_weights):
        if weighting == "equal":
            weight = (length > 0).astype(np.float64)
        num_groups = len(age_weights)
        group = np.minimum(np.arange(len(length)) // (len(length) // num_groups), num_groups - 1)
        total = np.bincount(group, weight)
        weight *= np.asarray(age_weights)[group] / np.maximum(total, 1)[group]
    return weight / (weight.sum() or 1)
