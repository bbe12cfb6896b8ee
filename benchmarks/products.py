"""How much of an epoch is spent in convolutions, matrix products, attention and recurrent layers.

``python benchmarks/products.py quickstart`` profiles a few updates of each kind in one thread. What is left when
all the rest is free is the least that a run can take with these kernels: no fusing makes it faster.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from torch.profiler import ProfilerActivity, profile

from adamas.bench.contents import phases
from adamas.bench.flops import run_flops
from adamas.bench.workloads import small_run
from adamas.presets import preset
from adamas.training.phases import Phase

UPDATES = 5
PRODUCTS = ("convolution", "addmm", "aten::mm", "aten::bmm", "rnn_layer", "dot_product")


def main(name: str) -> None:
    """Print a line for each kind of update, and one for an epoch of them."""
    config = replace(preset(name), num_shards=1)
    config = replace(config, runtime=replace(config.runtime, threads=1))
    epoch, least = 0.0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        trainer = small_run(config, Path(folder) / "run")
        flops = run_flops(config, trainer.agent.config).updates
        for phase in phases(config, trainer.agent):
            learn = trainer.phases[phase]
            learn.begin(1)
            seconds, share = measure(learn)
            number = learn.planned(epoch=2)
            epoch += number * seconds
            least += number * seconds * share
            speed = flops[phase] / seconds / 1e9
            print(
                f"{phase:12s} {seconds * 1e3:6.0f} ms, {speed:4.1f} GFLOP/s, {share:.0%} in products; {number} an epoch"
            )
    print(
        f"an epoch's updates {epoch:.1f} s, of which products {least:.1f} s: {epoch / least:.2f} times as fast at most"
    )


def measure(phase: Phase) -> tuple[float, float]:
    """Seconds of an update, and the share of them that is spent in products."""
    phase.update()
    since = time.perf_counter()
    for _ in range(UPDATES):
        phase.update()
    seconds = (time.perf_counter() - since) / UPDATES
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        phase.update()
    times = {event.key: event.self_cpu_time_total for event in profiler.key_averages()}
    products = sum(time for name, time in times.items() if any(product in name for product in PRODUCTS))
    return seconds, products / sum(times.values())


if __name__ == "__main__":
    main(sys.argv[1])
