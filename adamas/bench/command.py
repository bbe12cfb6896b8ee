"""``adamas bench``: the table, on the screen and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from rich.table import Table

from adamas.bench.compare import compare
from adamas.bench.rows import PEAK, ROWS
from adamas.core.arguments import parse
from adamas.core.config import to_dict
from adamas.core.console import console
from adamas.core.errors import UserError, nearest
from adamas.evaluation.results import provenance, write_results
from adamas.presets import preset
from adamas.training.config import Config


@dataclass(frozen=True)
class BenchOptions:
    """Time a preset's work on this machine, against the straightforward way to do the same."""

    config: Annotated[Config, tyro.conf.arg(name=""), tyro.conf.FlagConversionOff]
    rows: tuple[str, ...] = tuple(ROWS)
    """Rows of the table, by name; all of them at full Atari size take half an hour on two cores."""
    rounds: int = 3
    """How often the two ways take turns; medians are shown."""
    seconds: float = 1.0
    """To repeat each piece of work for, in every round; once at least."""
    json: Path | None = None
    """File for all measurements; never overwritten."""

    def __post_init__(self) -> None:
        for row in self.rows:
            if row not in ROWS:
                raise UserError(f"there is no row {row!r}; {nearest(row, ROWS)}")
        if self.rounds < 1 or not self.seconds >= 0:
            raise UserError(
                f"rounds must be at least 1 and seconds at least 0, got {self.rounds} and {self.seconds}"
            )


def bench(arguments: Sequence[str]) -> None:
    """Measure, print a table, and write JSON where asked."""
    name = arguments[0] if arguments and not arguments[0].startswith("-") else "atari100k"
    rest = arguments[1:] if arguments and not arguments[0].startswith("-") else arguments
    options = parse(BenchOptions, rest, f"bench {name}", BenchOptions(preset(name)))
    screen, machine = console(), provenance()
    screen.print(
        f"{machine['cpu']}, {machine['cpu_vectors']}, {'' if machine['cpu_bf16'] else 'no '}bf16, "
        f"{torch.get_num_threads()} threads, {machine['gpu'] or 'no GPU'}",
        highlight=False,
    )
    results = []
    # The convolution comes first: the other rows are shown as shares of its speed.
    rows = [PEAK, *(row for row in options.rows if row != PEAK)]
    for result in compare(options.config, rows, options.rounds, options.seconds):
        results.append(result)
        screen.print(f"{result['row']}: {result['ratio']:.2f} x", highlight=False)
    screen.print(table(results))
    for way in ("plain", "fast"):
        used = [result[way] for result in results]
        memory, start = max(u["peak_bytes"] for u in used), used[0]["startup_seconds"]
        screen.print(f"{way:5s}  peak memory {memory / 1e9:.1f} GB  start-up {start:.1f} s", highlight=False)
    if options.json is not None:
        content = {"preset": name, "config": to_dict(options.config), "rows": results}
        print(f"  {write_results(options.json, content | {'provenance': machine})}")


def table(results: Sequence[Mapping[str, Any]]) -> Table:
    """Rows of :func:`~adamas.bench.compare.compare`, in units per second.

    GFLOP/s are those of the fast way, shares of the peak are relative to its bare convolution, and system time
    is what the operating system took of the processor's.
    """
    peak = next(result["fast"]["gflops"] for result in results if result["row"] == PEAK)
    shown = Table("", "plain /s", "fast /s", "ratio", "GFLOP/s", "of peak", "system time", box=None)
    for result in results:
        before, after = result["plain"], result["fast"]
        gflops = after["gflops"]
        shown.add_row(
            result["row"],
            f"{before['per_second']:,.3g}",
            f"{after['per_second']:,.3g}",
            f"{result['ratio']:.2f}",
            f"{gflops:.0f}" if gflops else "",
            f"{gflops / peak:.0%}" if gflops else "",
            f"{before['system_share']:.0%} -> {after['system_share']:.0%}",
        )
    return shown
