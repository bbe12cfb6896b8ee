"""Replay: memory of 100,000 frames of 64x64 pixels, time to draw 32 segments of 6 frames.

Run with ``python benchmarks/replay.py`` (Linux; 1.23 GB in a temporary folder and as much free memory).
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from adamas.core.types import SegmentSpec
from adamas.data import NEW, EpisodeStore, SegmentSampler

NUM_FRAMES, NUM_ENVS, OBS_SHAPE = 100_000, 16, (3, 64, 64)
END_PROBABILITY = 1 / 500
DRAWS = 300


def main() -> None:
    """Fill a store, measure, print."""
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        store = EpisodeStore.create(Path(folder) / "replay", OBS_SHAPE)
        began = time.perf_counter()
        fill(store, rng)
        store.commit()
        print(f"fill and commit     {time.perf_counter() - began:8.2f} s for {store.num_rows:,} frames")

        before = resident_bytes()
        store = EpisodeStore.open(store.folder)
        for number, length in enumerate(store.lengths):  # touch every page
            for start in range(0, length, 32):
                store.read(np.array([number]), np.array([start]), 32)
        raw = NUM_FRAMES * int(np.prod(OBS_SHAPE))
        used = resident_bytes() - before
        print(f"memory, all touched {used / 1e9:8.3f} GB = {used / raw:.4f} x raw ({raw / 1e9:.3f} GB)")

        sampler, spec = SegmentSampler(store), SegmentSpec(num_frames=6)
        draw = median_ms(lambda: sampler.sample(32, spec, rng))
        print(f"draw 32 x 6 frames  {draw:8.3f} ms (median of {DRAWS})")

        episode_numbers = np.flatnonzero(~store.ended)

        def step() -> None:
            append(store, episode_numbers, rng)

        def step_and_draw() -> None:
            step()
            sampler.sample(32, spec, rng)

        print(f"append {NUM_ENVS} frames    {median_ms(step):8.3f} ms (making the frames included)")
        print(f"append, then draw   {median_ms(step_and_draw):8.3f} ms (rebuilds the index)")


def fill(store: EpisodeStore, rng: np.random.Generator) -> None:
    """Append interleaved episodes of about 500 frames until the store holds ``NUM_FRAMES``."""
    numbers = np.full(NUM_ENVS, NEW)
    while store.num_rows < NUM_FRAMES:
        numbers = append(store, numbers, rng)
        ends = rng.random(NUM_ENVS) < END_PROBABILITY
        store.append_final(numbers[ends], random_frames(int(ends.sum()), rng))
        numbers[ends] = NEW


def append(store: EpisodeStore, numbers: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Append one step in each of the running episodes ``numbers``."""
    zeros = np.zeros(len(numbers), np.int64)
    no = zeros.astype(bool)
    return store.append(numbers, random_frames(len(numbers), rng), zeros, zeros, no, no)


def random_frames(count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, C, H, W) uint8."""
    return rng.integers(256, size=(count, *OBS_SHAPE), dtype=np.uint8)


def resident_bytes() -> int:
    """Memory of this process that is in RAM: its own and what it maps from the page cache."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def median_ms(function: Callable[[], object]) -> float:
    """Median time of a call, in milliseconds, over ``DRAWS`` calls after ten to warm up."""
    times = []
    for _ in range(DRAWS + 10):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times[10:])


if __name__ == "__main__":
    main()
