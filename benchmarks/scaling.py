"""Data parallel: two processes of one thread each against one process of one thread, at the same batch sizes.

Run with ``python benchmarks/scaling.py [PRESET]`` on at least two free cores; it starts the processes by itself.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from adamas.bench.workloads import small_run
from adamas.core.distributed import Group
from adamas.presets import preset
from adamas.training.build import follow
from adamas.training.phases import Phase

PHASES = ("denoiser", "reward_end", "actor_critic")
ROUNDS = 3  # in which the two take turns
UPDATES = 5  # of each kind in a round


def main() -> None:
    """Compare, print."""
    name = sys.argv[1] if len(sys.argv) > 1 else "atari-small"
    alone = [sys.executable, __file__]
    pair = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", __file__]
    rounds = [(measured(alone, name), measured(pair, name)) for _ in range(ROUNDS)]
    print(f"{name}: seconds of an update, median of {ROUNDS} rounds of {UPDATES} updates")
    for phase in PHASES:
        one, two = (statistics.median(r[i][phase] for r in rounds) for i in (0, 1))
        ratio = statistics.median(r[0][phase] / r[1][phase] for r in rounds)
        print(f"{phase:13s} one process {one:6.3f}   two {two:6.3f}   {ratio:.2f} times as fast")


def measured(command: list[str], name: str) -> dict[str, float]:
    """Median seconds of an update of each phase, by processes started with ``command``."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [*command, "measure", name, str(Path(folder) / "run")],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return json.loads(done.stdout)


def measure(name: str, folder: Path) -> None:
    """What one of the processes does."""
    group = Group.join()
    config = preset(name)
    config = replace(config, num_shards=group.size, runtime=replace(config.runtime, threads=1))
    if group.rank > 0:
        follow(folder, group).run()
        return
    with closing(small_run(config, folder, group)) as trainer:
        print(json.dumps({phase: seconds(trainer.phases[phase]) for phase in PHASES}))


def seconds(phase: Phase) -> float:
    """Of an update, after a first one that is slower."""
    phase.begin(1)
    phase.update()
    times = []
    for _ in range(UPDATES):
        began = time.perf_counter()
        phase.update()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
