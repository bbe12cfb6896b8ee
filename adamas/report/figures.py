"""The figures of the report's page, as SVG. Needs Matplotlib."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from adamas.evaluation.aggregate import performance_profile, resample
from adamas.evaluation.scores import Estimate, Runs, aggregates
from adamas.media.plots import BLUE, GREEN, GREY, ORANGE, new_figure
from adamas.report.records import curve, evaluations, world_model_parts
from adamas.report.runs import RunRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The palette of Okabe and Ito, which colour-blind readers can tell apart. Grey is for baselines.
COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MAX_BARS = 26
THRESHOLDS = np.linspace(0, 4, 201)  # human-normalised scores at which performance profiles are computed


def to_svg(figure: Figure) -> str:
    """Return a figure as an SVG element for a page. Its text stays text, so that it can be searched and selected."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "adamas"}):
        figure.savefig(buffer, format="svg", bbox_inches="tight", pad_inches=0.1, metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def colours(methods: Sequence[str]) -> dict[str, str]:
    """Assign a colour to every method."""
    return {method: COLOURS[i % len(COLOURS)] for i, method in enumerate(methods)}


def learning_curves(runs: Sequence[RunRecord], colour: Mapping[str, str]) -> Figure:
    """Plot returns during training of one game's runs against real steps, updates and hours; dots are final scores."""
    figure, axes = new_figure(1, 3)
    for run in runs:
        real_steps, hours, returns = evaluations(run.metrics, run.timing)
        updates = np.array([r.step for r in run.metrics if r.phase == "evaluate"], dtype=float)
        ends = (float(run.real_steps), float(run.metrics[-1].step) if run.metrics else 0.0, run.hours)
        for ax, x, end in zip(axes, (real_steps, updates, hours), ends, strict=True):
            ax.plot(x, returns, color=colour[run.method], alpha=0.6, linewidth=1.2, label=run.method)
            if run.final is not None:
                score = run.final.agent
                if score.mean_interval_95 is not None:
                    ax.plot([end, end], score.mean_interval_95, color=colour[run.method], linewidth=1)
                ax.plot(end, score.mean, "o", color=colour[run.method], markersize=5)
    random = [run.final.random_policy.mean for run in runs if run.final is not None]
    for ax, label in zip(axes, ("real steps", "steps of the whole run", "hours"), strict=True):
        if random:
            ax.axhline(float(np.mean(random)), color=GREY, linestyle="--", label="random policy")
        ax.set(xlabel=label, ylabel="return of an episode")
        ax.locator_params(axis="x", nbins=5)
    for ax in axes[:2]:
        ax.xaxis.set_major_formatter("{x:,.0f}")
    _legend(figure, axes)
    return figure


def intervals(methods: Mapping[str, Runs], colour: Mapping[str, str]) -> Figure:
    """Plot mean, median, IQM and optimality gap of human-normalised scores, with 95 % bootstrap intervals.

    A method with a single run of a game has no interval.
    """
    estimates = {method: aggregates(runs) for method, runs in methods.items()}
    names = list(next(iter(estimates.values())))
    figure, axes = new_figure(1, len(names), height=1.4 + 0.35 * len(methods), share_y=True)
    for ax, name in zip(axes, names, strict=True):
        for y, (method, found) in enumerate(estimates.items()):
            _estimate(ax, y, found[name], colour[method])
        ax.set_title(name)
        ax.set_ylim(len(methods) - 0.5, -0.5)
    axes[0].set_yticks(range(len(methods)), list(methods))
    return figure


def _estimate(ax: Axes, y: int, estimate: Estimate, colour: str) -> None:
    if estimate.interval is not None:
        low, high = estimate.interval
        ax.barh(y, high - low, left=low, height=0.5, color=colour, alpha=0.35)
    ax.plot([estimate.value] * 2, [y - 0.25, y + 0.25], color=colour, linewidth=2)


def profiles(methods: Mapping[str, Runs], colour: Mapping[str, str]) -> Figure:
    """Plot the share of runs above every human-normalised score, with 95 % bootstrap bands.

    A method with a single run of a game has no band.
    """
    figure, (ax,) = new_figure(1, 1)
    for method, runs in methods.items():
        scores = list(runs.values())
        ax.plot(THRESHOLDS, performance_profile(scores, THRESHOLDS), color=colour[method], label=method)
        resampled = resample(scores, 500)
        if resampled is not None:
            low, high = np.quantile(performance_profile(resampled, THRESHOLDS), (0.025, 0.975), axis=0)
            ax.fill_between(THRESHOLDS, low, high, color=colour[method], alpha=0.2, linewidth=0)
    ax.set(xlabel="human-normalised score", ylabel="share of runs above it", ylim=(0, 1.02), xlim=(0, 4))
    _legend(figure, [ax])
    return figure


def bars(methods: Mapping[str, Runs], colour: Mapping[str, str], label: str) -> Figure:
    """Plot the mean score of every method in every game; dots are runs."""
    games = list(dict.fromkeys(game for runs in methods.values() for game in runs))[:MAX_BARS]
    figure, (ax,) = new_figure(1, 1, height=1.6 + 0.22 * len(games) * len(methods))
    height = 0.8 / len(methods)
    for i, (method, runs) in enumerate(methods.items()):
        at = [y + (i + 0.5) * height - 0.4 for y, game in enumerate(games) if game in runs]
        scores = [runs[game] for game in games if game in runs]
        ax.barh(at, [s.mean() for s in scores], 0.9 * height, color=colour[method], alpha=0.5, label=method)
        for y, values in zip(at, scores, strict=True):
            ax.plot(values, [y] * len(values), ".", color=colour[method], markersize=4)
    ax.set_yticks(range(len(games)), games)
    ax.set_ylim(len(games) - 0.4, -0.6)
    ax.set_xlabel(label)
    _legend(figure, [ax])
    return figure


class Panel(NamedTuple):
    """A panel that shows how the world model learnt.

    Attributes:
        title: of the panel.
        phase: phase of the training loop that records the metrics.
        metrics: one metric, drawn as a solid line, or two, of which the second is dashed.
        meaning: a sentence that explains the lines.
        log: whether the vertical axis is logarithmic.
    """

    title: str
    phase: str
    metrics: tuple[str, ...]
    meaning: str
    log: bool = False


FRAME_PANELS = (
    Panel(
        "Next dreamt frame: PSNR (dB)",
        "evaluate",
        ("psnr_1",),
        "how close the first dreamt frame is to the held-out frame; higher is better, and 6 dB halve the error",
    ),
    Panel(
        "Next dreamt frame exact",
        "evaluate",
        ("exact_1",),
        "share of first dreamt frames in which every pixel is right; higher is better",
    ),
)
RATE_PANEL = Panel(
    "Rewards a step: dreamt, real",
    "evaluate",
    ("dream_reward_rate", "real_reward_rate"),
    "mean sign of the reward, in dreams (solid) and in the held-out episodes that they continue (dashed); "
    "the two should agree",
)


def _loss_panel(part: str) -> Panel:
    title = f"{part.replace('_', ' ').capitalize()}: loss"
    meaning = "training loss of this part of the world model; lower is better"
    return Panel(title, part, ("loss",), meaning, log=True)


def _judging_panels(part: str) -> tuple[Panel, Panel]:
    """Panels for a part of the world model that predicts rewards and ends."""
    return (
        Panel(
            "Rewards of +1: precision, recall",
            part,
            ("reward_precision[+1]", "reward_recall[+1]"),
            "solid, the share of predicted rewards that are real; dashed, the share of real rewards that are predicted",
        ),
        Panel(
            "Ends: precision, recall",
            part,
            ("end_precision[yes]", "end_recall[yes]"),
            "the same for the ends of episodes",
        ),
    )


def recorded_panels(runs: Sequence[RunRecord]) -> list[Panel]:
    """Return the panels for which at least one of the runs has recorded something."""
    parts = list(dict.fromkeys(part for run in runs for part in world_model_parts(run.metrics)))
    losses = [_loss_panel(part) for part in parts]
    judging = [panel for part in parts for panel in _judging_panels(part)]
    return [
        panel
        for panel in (*losses, *FRAME_PANELS, *judging, RATE_PANEL)
        if any(len(curve(run.metrics, panel.phase, name)[0]) for run in runs for name in panel.metrics)
    ]


def world_models(runs: Sequence[RunRecord], panels: Sequence[Panel], colour: Mapping[str, str]) -> Figure:
    """Plot how the world models of one game's runs learnt, by epoch.

    Args:
        runs: runs of one game.
        panels: what to draw, at least one.
        colour: by method.
    """
    columns = min(3, len(panels))
    figure, axes = new_figure(-(-len(panels) // columns), columns)
    for ax in axes[len(panels) :]:
        ax.remove()
    for ax, panel in zip(axes, panels, strict=False):
        for run in runs:
            for name, style, alpha in zip(panel.metrics, ("-", "--"), (0.7, 0.5), strict=False):
                x, y = curve(run.metrics, panel.phase, name)
                if len(x):
                    label = run.method if style == "-" else None
                    marker = "o" if len(x) == 1 else ""
                    ax.plot(
                        *(x, y, style),
                        color=colour[run.method],
                        alpha=alpha,
                        linewidth=1,
                        label=label,
                        marker=marker,
                    )
        ax.set(title=panel.title, xlabel="epoch")
        if panel.log:
            ax.set_yscale("log")
    _legend(figure, axes[: len(panels)])
    return figure


def _legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """Draw one legend below the figure, with every label once."""
    pairs = [ax.get_legend_handles_labels() for ax in axes]
    once = {label: handle for handles, labels in pairs for handle, label in zip(handles, labels, strict=True)}
    figure.legend(
        list(once.values()),
        list(once),
        loc="outside lower center",
        ncols=min(4, len(once) or 1),
        frameon=False,
    )
