"""The notebook runs from top to bottom, in five cells."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "examples" / "notebook.py"


def test_the_notebook_trains_dreams_and_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("marimo")
    pytest.importorskip("minatar")
    monkeypatch.setenv("MPLBACKEND", "agg")
    app = runpy.run_path(str(NOTEBOOK))["app"]
    outputs, names = app.run()
    assert len(outputs) == 5
    assert len(names["frames"]) == 20 and names["frames"][0].shape == (1, 10, 10, 3)
    assert "mean return of 16 episodes" in outputs[1]
    losses = [loss for _, loss in names["losses"]]
    assert losses[-1] < 0.5 * losses[0]
