"""Reading the next batches while the last one is learned from."""

from __future__ import annotations

import copy
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from adamas.core.types import Batch, SegmentSpec
from adamas.data.sampling import SegmentSampler
from adamas.data.store import EpisodeStore

DEPTH = 2  # batches read ahead, each in a thread: the next one, and one more where reading takes longer


class Ahead(NamedTuple):
    """A batch that is being read."""

    request: tuple[
        Any, ...
    ]  # batch size, kind of segments, part to read, state of the generator before it was drawn
    batch: Future[Batch]
    after: Any  # state of the generator after it was drawn


class ReadAhead(SegmentSampler):
    """A sampler that is ready with the batch it will be asked for, on a dataset that does not grow.

    A generator whose batches were read ahead is no further than the last batch handed out, so a run that is saved
    and resumed draws the same ones. What was read ahead for another phase, or another state, is thrown away.
    """

    def __init__(self, store: EpisodeStore) -> None:
        """All episodes count alike, in proportion to their lengths."""
        super().__init__(store, age_weights=None)
        self._queue: deque[Ahead] = deque()
        self._threads = ThreadPoolExecutor(DEPTH, "read-ahead")
        self._rng = np.random.default_rng()

    def sample(
        self, batch_size: int, spec: SegmentSpec, rng: np.random.Generator, part: slice = slice(None)
    ) -> Batch:
        """As of any sampler: the same store, spec and state of ``rng`` give the same batch."""
        request = batch_size, spec, part, rng.bit_generator.state
        if not self._queue or self._queue[0].request != request:
            for ahead in self._queue:
                ahead.batch.cancel()
            self._queue.clear()
            self._rng = copy.deepcopy(rng)
        while len(self._queue) <= DEPTH:
            before = batch_size, spec, part, self._rng.bit_generator.state
            reading = self._threads.submit(self.store.read, *self._draw(batch_size, spec, self._rng, part))
            self._queue.append(Ahead(before, reading, self._rng.bit_generator.state))
        ahead = self._queue.popleft()
        batch = ahead.batch.result()
        rng.bit_generator.state = ahead.after
        return batch
