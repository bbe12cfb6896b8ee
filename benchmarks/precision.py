"""From which size of frames on bf16 is faster than fp32 on this CPU.

``python benchmarks/precision.py`` times updates of the denoiser and of the policy, in fp32 and bf16 in turns: the
networks of ``quickstart`` and of ``atari-small`` on frames of several sizes. Batches are split into two shards, as in
``quickstart``.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from adamas.bench.workloads import small_run
from adamas.core import runtime
from adamas.core.config import with_value
from adamas.envs.config import MinAtarConfig
from adamas.presets import preset
from adamas.training.config import Config

ROUNDS = 3
SECONDS = 1.0
PRECISIONS = ("fp32", "bf16")


def frames_of(name: str, size: int) -> Config:
    """The preset called ``name`` on MinAtar's frames of ``size`` pixels."""
    config = replace(preset(name), env=MinAtarConfig(game="breakout", size=size), num_shards=2)
    return with_value(config, "runtime.threads", 1)


def seconds_of(work: Callable[[], Any]) -> float:
    """Seconds of a call, the mean over a few."""
    began, calls = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        work()
        calls += 1
    return (time.perf_counter() - began) / calls


def ratios(config: Config, folder: Path) -> dict[str, float]:
    """How many times as fast bf16 is, by phase: medians over rounds."""
    with closing(small_run(config, folder)) as trainer:
        found: dict[str, float] = {}
        for name in ("denoiser", "actor_critic"):
            phase = trainer.phases[name]
            phase.begin(1)
            pairs = []
            for _ in range(ROUNDS):
                times = {}
                for precision in PRECISIONS:
                    settings = replace(config.runtime, precision=precision)
                    runtime.setup(settings)
                    phase.update()
                    times[precision] = seconds_of(phase.update)
                pairs.append(times["fp32"] / times["bf16"])
            found[name] = statistics.median(pairs)
        return found


def main() -> None:
    """Print a row for each network and size."""
    print("| networks of | frames | denoiser update | policy update |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for name, sizes in (("quickstart", (10, 16, 24, 32, 48, 64)), ("atari-small", (16, 24, 32))):
            for size in sizes:
                found = ratios(frames_of(name, size), Path(folder) / f"{name}-{size}")
                print(
                    f"| {name} | {size}x{size} | " + " | ".join(f"{r:.2f} x" for r in found.values()) + " |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
