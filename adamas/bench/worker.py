"""The subprocess of the benchmark, which times work on request.

It is a process of its own because the memory allocator can be chosen only once per process. It reads lines of JSON
from standard input: first the configuration of a run, then requests. It answers each with a line of JSON.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from adamas.bench.accelerator import peak_bytes
from adamas.bench.measurement import Measurement
from adamas.bench.workloads import Work, rows_of, small_run
from adamas.core.config import from_dict
from adamas.core.process import run_command
from adamas.training.config import Config
from adamas.training.trainer import Trainer


class Bench:
    """Times rows of the benchmark table on one small run."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self._rows = rows_of(trainer.config, trainer.agent)
        self._works: dict[str, Work] = {}

    def measure(self, row: str, seconds: float) -> Measurement:
        """Repeat the work of a row for ``seconds``, at least once. The first measurement starts with a warm-up call."""
        if row not in self._works:
            self._works[row] = self._rows[row].work(self.trainer)
            self._works[row].do()
        work = self._works[row]
        times: list[float] = []
        before = resource.getrusage(resource.RUSAGE_SELF)
        while not times or sum(times) < seconds:
            began = time.perf_counter()
            work.do()
            times.append(time.perf_counter() - began)
        after = resource.getrusage(resource.RUSAGE_SELF)
        system, user = after.ru_stime - before.ru_stime, after.ru_utime - before.ru_utime
        return Measurement(
            seconds=times,
            units=work.units,
            system_share=system / max(system + user, 1e-9),
            peak_bytes=peak_bytes(self.trainer.device),
        )


def main() -> None:
    """Answer requests until standard input ends."""
    answers = sys.stdout
    with (
        contextlib.redirect_stdout(sys.stderr),
        tempfile.TemporaryDirectory(prefix="adamas-bench-") as folder,
    ):
        config = from_dict(Config, json.loads(sys.stdin.readline()))
        with contextlib.closing(small_run(config, Path(folder) / "run")) as trainer:
            bench = Bench(trainer)
            print(json.dumps({"ready": True}), file=answers, flush=True)
            for line in sys.stdin:
                print(json.dumps(asdict(bench.measure(**json.loads(line)))), file=answers, flush=True)


if __name__ == "__main__":
    run_command(main)
