"""How the results are shown: a table, and curves, which need Matplotlib."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table

from adamas.core.console import counted
from adamas.fidelity.drift import BASELINE, OTHER_ACTIONS, STILL
from adamas.fidelity.results import DreamResults, StepMeans
from adamas.fidelity.summary import moment_rows, shown
from adamas.media.plots import GREY, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AXES = {
    "mse": "mean squared error",
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "lpips": "LPIPS",
    "exact": "share of exact frames",
}
# Also shown is the last step that at least MIN_DREAMS dreams reach before the true end.
SHOWN_STEPS = (1, 10, 50)
MIN_DREAMS = 10
# Episodes, or moments. With fewer, an interval from resampled ones is much too narrow.
ENOUGH = 5

BASELINES = {OTHER_ACTIONS: (GREY, ":"), STILL: (GREY, "--"), BASELINE: (GREY, "-.")}


def results_table(found: Mapping[str, DreamResults]) -> Table:
    """A table with a column for each sampler and each baseline, without rows that would be empty."""
    table = Table("", *found, box=None)
    for label, cells in table_rows(found):
        if any(cells):
            table.add_row(label, *cells)
    return table


def few_episodes(num_episodes: int) -> str:
    """A warning about numbers that need several held-out episodes; "" if there are enough."""
    if num_episodes >= ENOUGH:
        return ""
    problem = "Frechet distances and intervals need two" if num_episodes < 2 else "intervals are too narrow"
    return (
        f"the dreams start in only {counted(num_episodes, 'held-out episode')}: {problem}; hold out more episodes "
        "(adamas data split, with --cut if there are few)"
    )


def few_moments(num_moments: int) -> str:
    """A warning about numbers that need several moments of the game; "" if there are enough, or none at all."""
    if num_moments >= ENOUGH or not num_moments:
        return ""
    problem = "intervals need two" if num_moments < 2 else "their intervals are too narrow"
    return (
        f"coverage and action sensitivity come from only {counted(num_moments, 'moment')} of the game: {problem}; "
        "choose more `moments`"
    )


def table_rows(found: Mapping[str, DreamResults]) -> Iterator[tuple[str, list[str]]]:
    """Rows of the table: label and cells.

    Distances are shown at a few steps with 95 % intervals. The last of these steps is the last that at least
    ``MIN_DREAMS`` dreams reach before the true end, or the first step.
    """
    columns = list(found.values())
    first = columns[0]
    reached = [t + 1 for t, count in enumerate(first.distances["mse"].dreams) if count >= MIN_DREAMS] or [1]
    for distance in AXES:
        if distance in first.distances:
            for step in (*(step for step in SHOWN_STEPS if step < reached[-1]), reached[-1]):
                yield f"{distance}, step {step}", [shown(c.distances[distance].at(step)) for c in columns]
    for baseline in first.margin or {}:
        label = f"steps (of {len(reached)}) with lower mse than {baseline}"
        yield label, [_closer((c.margin or {}).get(baseline), reached) for c in columns]
    for name, distances in first.frechet.items():
        label = f"{name} (the game's own: {_number(distances.game)})"
        yield label, [_number(c.frechet[name].dream) if name in c.frechet else "" for c in columns]
    for kind, measure in itertools.product(("reward", "end"), ("rate", "precision", "recall")):
        label, name = f"{kind} {measure}", f"{kind}_{measure}"
        if measure == "rate":
            label = "non-zero " * (kind == "reward") + label
            label += f" (the game's own: {_number(getattr(first.rewards_and_ends, f'true_{name}'))})"
        yield (
            label,
            [_number(getattr(c.rewards_and_ends, name)) if c.rewards_and_ends else "" for c in columns],
        )
    if first.moments is not None:
        yield from moment_rows(found)


def _closer(margin: StepMeans | None, steps: Sequence[int]) -> str:
    """At how many of ``steps`` the 95 % interval of the margin is above 0."""
    return "" if margin is None else str(sum((margin.low[step - 1] or 0) > 0 for step in steps))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def drift_curves(found: Mapping[str, DreamResults]) -> Figure:
    """Plot each distance over the steps in a panel of its own, with a line for each sampler and each baseline.

    Bands are 95 % intervals.

    Raises:
        UserError: Matplotlib is not installed.
    """
    measured = [name for name in AXES if name in next(iter(found.values())).distances]
    figure, axes = new_figure(2, -(-len(measured) // 2))
    from matplotlib import colormaps

    colours = dict(zip(found, colormaps["viridis"](np.linspace(0, 0.85, len(found))), strict=True))
    for ax, distance in zip(axes, measured, strict=False):
        for name, results in found.items():
            means = results.distances[distance]
            mean, low, high = (
                np.array(values, dtype=float) for values in (means.mean, means.low, means.high)
            )
            x = np.arange(1, len(mean) + 1)
            colour, style = BASELINES.get(name, (colours[name], "-"))
            ax.plot(x, mean, style, color=colour, label=name, linewidth=1.2)
            ax.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        ax.set(xlabel="step of the dream", ylabel=AXES[distance], xlim=(1, None))
    for ax in axes[len(measured) :]:
        ax.remove()
    figure.legend(
        *axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=min(6, len(found)),
        frameon=False,
    )
    return figure
