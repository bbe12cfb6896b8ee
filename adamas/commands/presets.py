"""``adamas presets``: which presets there are, and what a run of each takes."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from adamas.core.console import console
from adamas.core.errors import UserError
from adamas.presets import PRESETS
from adamas.presets.facts import FACTS, NOT_MEASURED


def show_presets(arguments: Sequence[str]) -> None:
    """Print the presets in two tables, the ablations apart.

    Raises:
        UserError: arguments are given.
    """
    if arguments:
        raise UserError(
            f"presets takes no arguments, got {arguments[0]}; try: adamas train {arguments[0]} --help"
        )
    ablations = [name for name in PRESETS if name.startswith("ablation")]
    _print_table([name for name in PRESETS if name not in ablations])
    print("\nablations: each differs from the preset ablation in one choice of the paper")
    _print_table(ablations)
    print(f"\n{NOT_MEASURED}: not measured. adamas plan PRESET predicts time and memory on this machine.")


def _print_table(names: Sequence[str]) -> None:
    table = Table("preset", "what it is for", "hardware", "time", "memory", box=None)
    for name in names:
        facts = FACTS[name]
        table.add_row(name, facts.purpose, facts.hardware, facts.time, facts.memory)
    console().print(table)
