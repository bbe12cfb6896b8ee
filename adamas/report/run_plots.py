"""Plots of one run: how it learnt, how good its dreams were, and the agent's scores. Needs Matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from adamas.core.console import counted
from adamas.evaluation.results import Evaluation, Score
from adamas.media.plots import BLUE, GREEN, GREY, ORANGE, new_figure, save_figure
from adamas.report.records import Record, curve, evaluations, read_records, world_model_parts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def save_plots(run_dir: Path, final: Evaluation, folder: Path) -> list[Path]:
    """Draw all plots of a run as PNG files.

    Args:
        run_dir: the run's folder.
        final: the evaluation of the final agent.
        folder: where the files go.

    Returns:
        The files written.

    Raises:
        UserError: Matplotlib is not installed, or the run has no metrics.
    """
    metrics, timing = (read_records(run_dir / "metrics" / f"{name}.jsonl") for name in ("metrics", "timing"))
    figures = {
        "learning_curve": learning_curve(metrics, timing, final),
        "world_model": world_model(metrics),
        "dream_rates": dream_rates(metrics),
        "returns": returns(final),
    }
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in figures.items():
        paths.append(folder / f"{name}.png")
        save_figure(paths[-1], figure, bbox_inches="tight", pad_inches=0.1)
    return paths


def learning_curve(metrics: Sequence[Record], timing: Sequence[Record], final: Evaluation) -> Figure:
    """Plot the return of every evaluation against real steps and against hours, with the final scores."""
    real_steps, hours, values = evaluations(metrics, timing)
    figure, axes = new_figure(1, 2)
    knows_steps = any("real_steps" in record.values for record in metrics)
    labels = ("steps in the real game" if knows_steps else "epoch", "hours since the start")
    for ax, x, label in zip(axes, (real_steps, hours), labels, strict=True):
        _line(ax, x, values, BLUE, "during training", marker="o")
        shown = ((final.agent, "final agent", GREEN), (final.random_policy, "random policy", GREY))
        for score, what, colour in shown:
            if score.mean_interval_95 is not None:
                ax.axhspan(*score.mean_interval_95, color=colour, alpha=0.2, linewidth=0)
            ax.axhline(score.mean, color=colour, linestyle="--", label=f"{what}: {_interval(score)}")
        ax.set(xlabel=label, ylabel="return of an episode")
    axes[0].locator_params(axis="x", integer=True)
    axes[0].xaxis.set_major_formatter("{x:,.0f}")
    _legend_below(figure, axes[0])
    return figure


def world_model(metrics: Sequence[Record]) -> Figure:
    """Plot the losses of the world model's parts, and how close dreamt frames are to held-out frames."""
    figure, axes = new_figure(2, 2)
    from matplotlib.ticker import LogLocator

    for part, colour in zip(world_model_parts(metrics), cycle((BLUE, ORANGE, GREEN)), strict=False):
        _line(axes[0], *curve(metrics, part, "loss"), colour, part)
        _line(axes[1], *curve(metrics, part, "loss_reward"), BLUE, "reward")
        _line(axes[1], *curve(metrics, part, "loss_end"), ORANGE, "end")
    names = [name for record in metrics if record.phase == "evaluate" for name in record.values]
    steps = sorted({int(name.removeprefix("psnr_")) for name in names if name.startswith("psnr_")})
    for step, colour in zip(steps, (BLUE, ORANGE), strict=False):
        what = "next frame" if step == 1 else f"frame {step} steps on"
        epoch, share = curve(metrics, "evaluate", f"exact_{step}")
        _line(axes[2], epoch, 100 * share, colour, what, marker="o")
        _line(axes[3], *curve(metrics, "evaluate", f"psnr_{step}"), colour, what, marker="o")
    axes[0].set(title="Parts of the world model", ylabel="loss")
    axes[1].set(title="Reward and end", ylabel="loss (cross-entropy, nats)")
    axes[2].set(title="Dreamt frames that are right", ylabel="share (%)", ylim=(-4, 104))
    axes[3].set(title="Dreamt frames", ylabel="PSNR (dB)")
    for ax in axes[:2]:
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.minorticks_off()
    for ax in axes:
        ax.set_xlabel("epoch")
        ax.locator_params(axis="x", integer=True)
        if len(ax.get_legend_handles_labels()[1]) > 1:
            ax.legend(frameon=False)
    _note_if_empty(axes)
    return figure


def dream_rates(metrics: Sequence[Record]) -> Figure:
    """Plot the rates of rewards and ends in dreams and in the real game; a good world model has the same rates."""
    figure, axes = new_figure(1, 2)
    for ax, what, label in zip(axes, ("reward", "end"), ("reward (sign) a step", "ends a step"), strict=True):
        rate = f"{what}_rate"
        _line(ax, *curve(metrics, "collect", rate), BLUE, "real, collected", alpha=0.4)
        _line(ax, *curve(metrics, "actor_critic", rate), ORANGE, "dream, for training", alpha=0.4)
        _line(ax, *curve(metrics, "evaluate", f"real_{rate}"), BLUE, "real, held out", marker="o")
        same = "dream, same start and actions as held out"
        _line(ax, *curve(metrics, "evaluate", f"dream_{rate}"), ORANGE, same, marker="s")
        ax.set(title=what.capitalize(), xlabel="epoch", ylabel=label)
        ax.locator_params(axis="x", integer=True)
    _note_if_empty(axes)
    _legend_below(figure, axes[0], ncols=2)
    return figure


def returns(final: Evaluation) -> Figure:
    """Plot histograms of the final episodes' returns, of the agent and of a random policy."""
    figure, (ax,) = new_figure(1, 1)
    both = [np.array(score.returns) for score in final.scores.values()]
    labels = [f"{what}: mean (triangle) {_interval(score)}" for what, score in final.scores.items()]
    ax.hist(both, _bins(np.concatenate(both)).tolist(), color=(BLUE, ORANGE), label=labels)
    for score, colour in zip(final.scores.values(), (BLUE, ORANGE), strict=True):
        above = ax.get_xaxis_transform()
        ax.plot(score.mean, 1.03, "v", color=colour, transform=above, clip_on=False)
    ax.set(xlabel="return of an episode", ylabel="episodes")
    ax.locator_params(integer=True)
    _legend_below(figure, ax)
    return figure


# --- parts of figures --------------------------------------------------------------------------------------


def _line(
    ax: Axes, x: np.ndarray, y: np.ndarray, colour: str, label: str, marker: str = "", alpha: float = 1.0
) -> None:
    """Plot a curve unless it has no points."""
    if len(x):
        ax.plot(x, y, color=colour, label=label, marker=marker, markersize=4, alpha=alpha)


def _note_if_empty(axes: list[Axes]) -> None:
    for ax in axes:
        if not ax.lines:
            ax.annotate("nothing recorded", (0.5, 0.5), xycoords="axes fraction", ha="center", color=GREY)


def _bins(values: np.ndarray) -> np.ndarray:
    """Return the edges of about 30 bins at most. Whole numbers fall inside bins, never on an edge."""
    low, high = values.min(), values.max()
    if (values != values.round()).any():
        return np.linspace(low, high, 31)
    width = max(1, np.ceil((high - low) / 30))
    return np.arange(low - 0.5, high + width, width)


def _interval(score: Score) -> str:
    interval = ""
    if score.mean_interval_95 is not None:
        interval = "95 % interval {:.4g} to {:.4g}, ".format(*score.mean_interval_95)
    return f"{score.mean:.4g} ({interval}{counted(len(score.returns), 'episode')})"


def _legend_below(figure: Figure, ax: Axes, ncols: int = 1) -> None:
    """Draw one legend below the figure."""
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=ncols, frameon=False)
