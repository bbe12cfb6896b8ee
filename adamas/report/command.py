"""``adamas report``: write a page about runs, or print the published results as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.table import Table

from adamas.core.arguments import parse
from adamas.core.console import console
from adamas.core.errors import UserError
from adamas.core.files import write_numbered
from adamas.evaluation.aggregate import STATISTICS
from adamas.evaluation.scores import CORRECTED, Estimate, normalise, published, published_method
from adamas.report.page import aggregate_table, render
from adamas.report.runs import find_runs, scores_of


@dataclass(frozen=True)
class ReportOptions:
    """Write one page about runs, or print the published results on Atari 100k."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN ...")] = ()
    """Folders of runs, or folders that contain runs."""
    against: tuple[str, ...] = ()
    """Published methods to compare with, separated by spaces or commas, such as STORM,SimPLe,TWM. By default,
    none."""
    out: Path = Path("report.html")
    """File of the page (.html). An existing file is kept, and the new one gets a number."""
    published: bool = False
    """Print the published results, computed from their raw runs, and write no page."""


def report(arguments: Sequence[str]) -> None:
    """Write the page, or print the table."""
    options = parse(ReportOptions, arguments, "report")
    against = [name for names in options.against for name in names.split(",") if name]
    for name in against:
        published_method(name)
    if options.published:
        return _print_published(against or list(published()))
    if not options.runs:
        raise UserError("report needs the folders of runs, or `published`")
    runs = find_runs(options.runs)
    if against and not any(normalise(scores_of(runs, run.method)) for run in runs):
        raise UserError(
            f"nothing can be compared with {', '.join(against)}: published scores are of the 26 games of Atari 100k, "
            "and none of these runs has a final score on one of them; leave out `against`"
        )
    page = render(runs, against)
    print(f"  {write_numbered(options.out, page)}")


def _print_published(methods: Sequence[str]) -> None:
    table = Table("", *STATISTICS, "games >= human", box=None)
    for row in aggregate_table({name: normalise(published_method(name)) for name in methods}):
        table.add_row(row.method, *map(_shown, row.estimates.values()), str(row.superhuman))
    console().print(table)
    print("human-normalised, over 26 games x 5 runs; [95 % interval], stratified bootstrap")
    for (name, game), score in CORRECTED.items():
        if {name, f"{name} (raw)"} & set(methods):
            print(
                f"{name}: {game} is {score} as papers print it; its repository's raw runs are as in {name} (raw)"
            )


def _shown(estimate: Estimate) -> str:
    if estimate.interval is None:
        return f"{estimate.value:.3f}"
    low, high = estimate.interval
    return f"{estimate.value:.3f} \\[{low:.2f}, {high:.2f}]"
