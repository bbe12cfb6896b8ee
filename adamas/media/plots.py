"""Figures and their style. Needs Matplotlib."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adamas.core.errors import not_installed
from adamas.core.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The palette of Okabe and Ito, which colour-blind readers can tell apart.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#595959"


def can_plot() -> bool:
    """Whether Matplotlib is installed. Without it, a warning says that no plots were drawn and how to install it."""
    if importlib.util.find_spec("matplotlib") is not None:
        return True
    warnings.warn(f"no plots were drawn: {not_installed('matplotlib', 'report')}", stacklevel=3)
    return False


def new_figure(
    rows: int, columns: int, height: float | None = None, share_y: bool = False
) -> tuple[Figure, list[Axes]]:
    """An empty figure and its axes. It belongs to no window system and no global state.

    Args:
        rows: of axes.
        columns: of axes.
        height: in inches; by default a row has about three.
        share_y: whether the axes of a row share their y axis.

    Raises:
        UserError: Matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise not_installed("matplotlib", "report") from error
    height = height or (4 if rows == 1 else 3.2 * rows)
    figure = Figure(figsize=(max(7, 5 * columns), height), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, sharey=share_y).flat)
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(color="#DDDDDD", linewidth=0.8)
        ax.set_axisbelow(True)
    return figure, axes


def save_figure(path: Path, figure: Figure, **options: Any) -> None:
    """Save a figure as PNG, whole or not at all; ``options`` are those of Matplotlib's ``savefig``."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, **options)
