"""Prefetch: read the next batches in threads while the model trains on the current one."""

from __future__ import annotations

import copy
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from adamas.core.types import Batch, SegmentSpec
from adamas.data.sampling import Segments, SegmentSampler

DEPTH = 2  # number of batches to prefetch, each in a thread of its own


class PrefetchedBatch(NamedTuple):
    """A batch that is being read.

    Attributes:
        request: batch size, segment spec, part to read, and the state of the generator before the draw.
        batch: the batch, once it has been read.
        state_after: state of the generator after the draw.
    """

    request: tuple[Any, ...]
    batch: Future[Batch]
    state_after: Any


class PrefetchingSampler(SegmentSampler):
    """A sampler that prefetches batches of a dataset that does not grow.

    It predicts that the next request will be like the last one. The caller's generator advances only when a batch is
    returned, so a run that is saved and resumed draws the same batches. If another request arrives, prefetched batches
    are discarded.
    """

    def __init__(self, store: Segments) -> None:
        """Sample from ``store``, in which every frame is equally likely."""
        super().__init__(store, age_weights=None)
        self._queue: deque[PrefetchedBatch] = deque()
        self._threads = ThreadPoolExecutor(DEPTH, "prefetch")
        self._rng = np.random.default_rng()

    def sample(
        self, batch_size: int, spec: SegmentSpec, rng: np.random.Generator, part: slice = slice(None)
    ) -> Batch:
        """Draw ``batch_size`` segments; the same store, spec and state of ``rng`` give the same batch."""
        request = batch_size, spec, part, rng.bit_generator.state
        if not self._queue or self._queue[0].request != request:
            for prefetched in self._queue:
                prefetched.batch.cancel()
            self._queue.clear()
            self._rng = copy.deepcopy(rng)
        while len(self._queue) <= DEPTH:
            expected = batch_size, spec, part, self._rng.bit_generator.state
            reading = self._threads.submit(self.store.read, *self._draw(batch_size, spec, self._rng, part))
            self._queue.append(PrefetchedBatch(expected, reading, self._rng.bit_generator.state))
        prefetched = self._queue.popleft()
        batch = prefetched.batch.result()
        rng.bit_generator.state = prefetched.state_after
        return batch
