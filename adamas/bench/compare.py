"""Side-by-side timing of the same work: with the configured optimisations, and in plain PyTorch."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby

from adamas.bench.contents import agent_config
from adamas.bench.flops import run_flops
from adamas.bench.measurement import Comparison, Measurement, speed_of
from adamas.bench.peak import precision_of
from adamas.bench.workloads import Row
from adamas.core.config import to_dict
from adamas.core.errors import UserError
from adamas.core.json_data import from_json
from adamas.core.runtime import choose_device
from adamas.presets import preset
from adamas.training.config import Config

PATIENCE = 10  # seconds that the subprocess may take to remove its files


def plain(config: Config) -> Config:
    """Configure plain PyTorch: fp32, contiguous images, no compilation, the default allocator, a single shard.

    On a GPU the shards stay: they are computed one after another, so that a batch fits into its memory.
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
    """A subprocess that times work (:mod:`adamas.bench.worker`)."""

    def __init__(self, config: Config) -> None:
        began = time.perf_counter()
        command = [sys.executable, "-m", "adamas.bench.worker"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._ask(to_dict(config))
        self.startup_seconds = time.perf_counter() - began

    def measure(self, row: str, seconds: float) -> Measurement:
        """See :meth:`adamas.bench.worker.Bench.measure`."""
        return from_json(Measurement, self._ask({"row": row, "seconds": seconds}))

    def close(self) -> None:
        """End the process, which removes its files. Kill it if that takes longer than :data:`PATIENCE` seconds."""
        try:
            self._process.communicate(timeout=PATIENCE)  # the process ends when its standard input does
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def _ask(self, question: object) -> object:
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


def compare(config: Config, rows: Mapping[str, Row], rounds: int, seconds: float) -> Iterator[Comparison]:
    """Time rows of the benchmark table, one after another, with ``config`` (fast) and in plain PyTorch (plain).

    Args:
        config: the configuration to time. Rows with a preset of their own use that instead.
        rows: some rows of ``config`` (:func:`~adamas.bench.workloads.rows_of`).
        rounds: number of times that plain and fast alternate, so that disturbances affect both.
        seconds: how long to repeat the work in each round.
    """
    for name, group in groupby(rows, key=lambda row: rows[row].preset):
        settings = row_config(name, config)
        counted = run_flops(settings, agent_config(settings))
        with _child(plain(settings)) as slow, _child(settings) as fast:
            for row in group:
                pairs = [(slow.measure(row, seconds), fast.measure(row, seconds)) for _ in range(rounds)]
                ratios = [a.median / b.median for a, b in pairs]
                before, after = zip(*pairs, strict=True)
                count = rows[row].flops
                flops = 0.0 if count is None else count(counted)
                yield Comparison(
                    row=row,
                    unit=rows[row].unit,
                    plain=speed_of(before, flops, slow.startup_seconds),
                    fast=speed_of(after, flops, fast.startup_seconds),
                    precision=precision_of(settings),
                    ratio=statistics.median(ratios),
                )


def row_config(preset_name: str | None, config: Config) -> Config:
    """The configuration that a row times: its own preset if it has one, otherwise ``config``."""
    return config if preset_name is None else preset(preset_name)


@contextmanager
def _child(config: Config) -> Iterator[Child]:
    child = Child(config)
    try:
        yield child
    finally:
        child.close()
