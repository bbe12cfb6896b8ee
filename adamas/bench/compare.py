"""Runs the same work side by side: as a run does it, and the straightforward way."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from typing import Any

from adamas.bench.contents import agent_config
from adamas.bench.flops import run_flops
from adamas.bench.peak import precision_of
from adamas.bench.workloads import ROWS
from adamas.core.config import to_dict
from adamas.core.errors import UserError
from adamas.core.runtime import choose_device
from adamas.presets import preset
from adamas.training.config import Config


def plain(config: Config) -> Config:
    """The straightforward way to run ``config``: fp32, contiguous images, the default allocator, unsplit batches.

    On a GPU batches stay split: shards are computed one after the other there, so that they fit its memory.
    """
    runtime = replace(
        config.runtime,
        memory_format="contiguous",
        precision="fp32",
        compile=False,
        allocator="default",
        threads=None,
    )
    on_cpu = choose_device(config.runtime.device).type == "cpu"
    return replace(config, num_shards=1 if on_cpu else config.num_shards, runtime=runtime)


class Child:
    """A process that times work (:mod:`adamas.bench.worker`)."""

    def __init__(self, config: Config) -> None:
        began = time.perf_counter()
        command = [sys.executable, "-m", "adamas.bench.worker"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._ask(to_dict(config))
        self.startup_seconds = time.perf_counter() - began

    def measure(self, row: str, seconds: float) -> dict[str, Any]:
        """See :meth:`adamas.bench.worker.Bench.measure`."""
        return self._ask({"row": row, "seconds": seconds})

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _ask(self, question: Any) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        try:
            print(json.dumps(question), file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise UserError(
                f"the process that measures ended with exit code {self._process.wait()}; see above"
            )
        return json.loads(answer)


def compare(config: Config, rows: Sequence[str], rounds: int, seconds: float) -> Iterator[dict[str, Any]]:
    """Measure rows, one after the other.

    Args:
        config: whose work is measured, except of rows that have a preset of their own.
        rows: names in :data:`~adamas.bench.workloads.ROWS`.
        rounds: how often plain and fast take turns. What disturbs the machine then disturbs both.
        seconds: to repeat the work for, each time.

    Yields:
        for each row: ``row``, ``unit``, ``plain`` and ``fast`` (:func:`_summary` of each), ``precision`` of the fast
        way (fp32, tf32 or bf16) and ``ratio``, the median over the rounds of plain time by fast time.
    """
    for name, group in groupby(rows, key=lambda row: ROWS[row].preset):
        settings = row_config(name, config)
        counted = run_flops(settings, agent_config(settings))
        with _child(plain(settings)) as slow, _child(settings) as fast:
            for row in group:
                pairs = [(slow.measure(row, seconds), fast.measure(row, seconds)) for _ in range(rounds)]
                ratios = [_median(a) / _median(b) for a, b in pairs]
                before, after = zip(*pairs, strict=True)
                count = ROWS[row].flops
                flops = 0.0 if count is None else count(counted)
                yield {
                    "row": row,
                    "unit": ROWS[row].unit,
                    "plain": _summary(before, flops, slow),
                    "fast": _summary(after, flops, fast),
                    "precision": precision_of(settings.runtime),
                    "ratio": statistics.median(ratios),
                }


def row_config(preset_name: str | None, config: Config) -> Config:
    """Whose work a row times: ``config``, except of rows that have a preset of their own."""
    return config if preset_name is None else preset(preset_name)


def _median(measurement: dict[str, Any]) -> float:
    return statistics.median(measurement["seconds"])


def _summary(rounds: Sequence[dict[str, Any]], flops: float, child: Child) -> dict[str, Any]:
    """Medians over the rounds; the peak of memory over everything the process did so far.

    ``gflops`` is 0 where nobody knows how many operations a call takes.
    """
    seconds = statistics.median(map(_median, rounds))
    return {
        "seconds": seconds,
        "per_second": rounds[0]["units"] / seconds,
        "gflops": flops / seconds / 1e9,
        "system_share": statistics.median(r["system_share"] for r in rounds),
        "peak_bytes": max(r["peak_bytes"] for r in rounds),
        "startup_seconds": child.startup_seconds,
    }


@contextmanager
def _child(config: Config) -> Iterator[Child]:
    child = Child(config)
    try:
        yield child
    finally:
        child.close()
