"""How the comparison is shown: a table, and curves (which need Matplotlib)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from adamas.fidelity.drift import BASELINE, OTHER_ACTIONS, STILL
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
SHOWN_STEPS = (1, 10, 50)  # and the last that MIN_DREAMS reach
MIN_DREAMS = 10

BASELINES = {OTHER_ACTIONS: (GREY, ":"), STILL: (GREY, "--"), BASELINE: (GREY, "-.")}

Found = Mapping[str, Mapping[str, Any]]
"""By name of the sampler: what was measured of its dreams. The last are :data:`BASELINES`."""


def table_rows(found: Found) -> Iterator[tuple[str, list[str]]]:
    """Rows of a table with one column for each sampler: label and cells.

    Distances come with 95 % intervals, at a few steps; the last is the last that at least ``MIN_DREAMS`` dreams'
    episodes reach, or the first.
    """
    first = next(iter(found.values()))
    reached = [t + 1 for t, count in enumerate(first["mse"]["dreams"]) if count >= MIN_DREAMS] or [1]
    for distance in AXES:
        if distance in first:
            for step in (*(step for step in SHOWN_STEPS if step < reached[-1]), reached[-1]):
                yield f"{distance}, step {step}", [_at(one[distance], step - 1) for one in found.values()]
    for baseline in first.get("margin", {}):
        label = f"steps, of {len(reached)}, at which mse is less than with {baseline}"
        yield label, [_closer(one.get("margin", {}).get(baseline), reached) for one in found.values()]
    for name, distances in first["populations"].items():
        label = f"{name} (the game's own: {_number(distances['game'])})"
        yield label, [_number(one["populations"].get(name, {}).get("dream")) for one in found.values()]
    for name in (
        "reward_rate",
        "reward_precision",
        "reward_recall",
        "end_rate",
        "end_precision",
        "end_recall",
    ):
        true = first["agreement"].get(f"true_{name}")
        label = name.replace("_", " ") + ("" if true is None else f" (the game's: {_number(true)})")
        yield label, [_number(one["agreement"].get(name)) for one in found.values()]
    if "moments" in first:
        yield from moment_rows(found)


def _at(means: Mapping[str, Any], t: int) -> str:
    return shown({key: means[key][t] for key in ("mean", "low", "high")})


def _closer(margin: Mapping[str, Any] | None, steps: Sequence[int]) -> str:
    """At how many of ``steps`` the 95 % interval of the paired difference is above 0."""
    return "" if margin is None else str(sum(margin["low"][step - 1] > 0 for step in steps))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def drift_curves(found: Found) -> Figure:
    """A panel for each distance, a line for each way to draw a frame; bands are 95 % intervals.

    Raises:
        UserError: Matplotlib is not installed.
    """
    shown = [name for name in AXES if name in next(iter(found.values()))]
    figure, axes = new_figure(2, -(-len(shown) // 2))
    from matplotlib import colormaps

    colours = dict(zip(found, colormaps["viridis"](np.linspace(0, 0.85, len(found))), strict=True))
    for ax, distance in zip(axes, shown, strict=False):
        for name, measured in found.items():
            mean, low, high = (
                np.array(measured[distance][key], dtype=float) for key in ("mean", "low", "high")
            )
            x = np.arange(1, len(mean) + 1)
            colour, style = BASELINES.get(name, (colours[name], "-"))
            ax.plot(x, mean, style, color=colour, label=name, linewidth=1.2)
            ax.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        ax.set(xlabel="step of the dream", ylabel=AXES[distance], xlim=(1, None))
    for ax in axes[len(shown) :]:
        ax.remove()
    figure.legend(
        *axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=min(6, len(found)),
        frameon=False,
    )
    return figure
