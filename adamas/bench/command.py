"""``adamas bench``: measure the speed of training and dreaming, print a table and write JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from rich.table import Table

from adamas.agent import AgentConfig
from adamas.bench.compare import compare, row_config
from adamas.bench.contents import agent_config, outline, stand_in_note
from adamas.bench.flops import run_flops
from adamas.bench.measurement import Comparison
from adamas.bench.peak import peak_gflops, precision_of
from adamas.bench.workloads import Row, rows_of
from adamas.core.arguments import parse
from adamas.core.checks import check_range
from adamas.core.config import to_dict
from adamas.core.console import console
from adamas.core.errors import UserError
from adamas.core.progress import duration
from adamas.evaluation.provenance import provenance
from adamas.evaluation.result_file import write_results
from adamas.presets import preset_for
from adamas.training.config import Config

PATIENCE = 60.0  # seconds that a row may take at peak speed if it was not asked for


@dataclass(frozen=True)
class BenchOptions:
    """Measure how fast this machine trains and dreams with a preset, compared with plain PyTorch."""

    config: Annotated[Config, tyro.conf.arg(name=""), tyro.conf.FlagConversionOff]
    rows: tuple[str, ...] = ()
    """Names of the rows to measure, separated by spaces. By default, all rows of the preset that take a reasonable
    time here; at full Atari size this takes half an hour on two cores."""
    rounds: int = 3
    """Number of times that each of the two implementations is measured in turn, at least 1. Medians are shown."""
    seconds: float = 1.0
    """Seconds for which each row is repeated in every round. 0 measures it once."""
    json: Path | None = None
    """File (.json) for all measurements. An existing file is kept, and the new one gets a number. By default,
    none."""

    def __post_init__(self) -> None:
        check_range("rounds", self.rounds, least=1)
        check_range("seconds", self.seconds, least=0)


def bench(arguments: Sequence[str]) -> None:
    """Measure, print a table, and write JSON if asked."""
    name = arguments[0] if arguments and not arguments[0].startswith("-") else "atari100k"
    rest = arguments[1:] if arguments and not arguments[0].startswith("-") else arguments
    options = parse(BenchOptions, rest, f"bench {name}", BenchOptions(preset_for(name, rest)))
    config = options.config
    screen, machine = console(), provenance()
    agent = agent_config(config)
    if note := stand_in_note(config):
        print(note)
    rows = chosen_rows(options.rows, name, rows_of(config, outline(agent)))
    precisions = {precision_of(row_config(row.preset, config)) for row in rows.values()}
    peaks = {precision: peak_gflops(config.runtime.device, precision) for precision in sorted(precisions)}
    if not options.rows:
        rows = within_patience(rows, config, agent, peaks[precision_of(config)])
    screen.print(
        f"{machine.cpu}, {machine.cpu_vectors}, {'' if machine.cpu_bf16 else 'no '}bf16, "
        f"{torch.get_num_threads()} threads, {machine.gpu or 'no GPU'}; bare convolutions: "
        + ", ".join(f"{gflops:,.0f} GFLOP/s in {precision}" for precision, gflops in peaks.items()),
        highlight=False,
    )
    results = []
    for result in compare(config, rows, options.rounds, options.seconds):
        results.append(result)
        screen.print(f"{result.row}: {result.ratio:.2f} x", highlight=False)
    screen.print(table(results, peaks))
    ways = {"plain": [result.plain for result in results], "fast": [result.fast for result in results]}
    for way, used in ways.items():
        memory, start = max(speed.peak_bytes for speed in used), used[0].startup_seconds
        screen.print(f"{way:5s}  peak memory {memory / 1e9:.1f} GB  start-up {start:.1f} s", highlight=False)
    if options.json is not None:
        content = {
            "preset": name,
            "config": to_dict(config),
            "peaks": peaks,
            "rows": [asdict(result) for result in results],
            "provenance": asdict(machine),
        }
        print(f"  {write_results(options.json, content)}")


def chosen_rows(asked: Sequence[str], name: str, there: Mapping[str, Row]) -> Mapping[str, Row]:
    """The rows that were asked for, or all rows of the preset called ``name``.

    Raises:
        UserError: the preset has no such row.
    """
    for row in asked:
        if row not in there:
            raise UserError(f"`rows`: {name} has no {row!r}; choose from: {', '.join(there)}")
    return {row: there[row] for row in asked or there}


def within_patience(
    rows: Mapping[str, Row], config: Config, agent: AgentConfig, peak: float
) -> Mapping[str, Row]:
    """The rows that take less than :data:`PATIENCE` at ``peak`` GFLOP/s. Prints which are left out."""
    flops = run_flops(config, agent)
    least = {name: row.flops(flops) / peak / 1e9 for name, row in rows.items() if row.flops is not None}
    slow = {name: seconds for name, seconds in least.items() if seconds > PATIENCE}
    if slow:
        print(
            "left out, because a single call takes at least this long here: "
            + ", ".join(f"{name} ({duration(seconds)})" for name, seconds in slow.items())
            + "; name them with --rows to measure them anyway"
        )
    return {name: row for name, row in rows.items() if name not in slow}


def table(results: Sequence[Comparison], peaks: Mapping[str, float]) -> Table:
    """Rows of :func:`~adamas.bench.compare.compare`, in units per second.

    GFLOP/s are those of the fast way, shares of the peak are relative to a bare convolution in the same precision, and
    system time is what the operating system took of the processor's.

    Args:
        results: one for each row.
        peaks: GFLOP/s of a bare convolution, by precision (:func:`~adamas.bench.peak.peak_gflops`).
    """
    shown = Table("", "plain /s", "fast /s", "ratio", "GFLOP/s", "of peak", "system time", box=None)
    for result in results:
        before, after = result.plain, result.fast
        gflops = after.gflops
        shown.add_row(
            result.row,
            f"{before.per_second:,.3g}",
            f"{after.per_second:,.3g}",
            f"{result.ratio:.2f}",
            f"{gflops:.0f}" if gflops else "",
            f"{gflops / peaks[result.precision]:.0%}" if gflops else "",
            f"{before.system_share:.0%} -> {after.system_share:.0%}",
        )
    return shown
