"""The notebook runs from top to bottom, in five cells. marimo itself is not needed: the cells are plain functions."""

from __future__ import annotations

import ast
import inspect
import runpy
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from adamas import cli

NOTEBOOK = Path(__file__).parents[1] / "examples" / "notebook.py"
Cell = Callable[..., Any]


class Notebook:
    """Stands in for ``marimo.App``: collects the cells."""

    def __init__(self) -> None:
        self.cells: list[Cell] = []

    def cell(self, function: Cell) -> Cell:
        self.cells.append(function)
        return function

    def run(self) -> dict[str, Any]:
        """Run the cells in order, and return the values that they pass on, by name."""
        names: dict[str, Any] = {}
        for cell in self.cells:
            values = cell(*(names[name] for name in inspect.signature(cell).parameters))
            names |= dict(zip(returned(cell), values, strict=True))
        return names


def returned(cell: Cell) -> list[str]:
    """The names in the last line of a cell, ``return (a, b)``."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cell)))
    function = tree.body[0]
    assert isinstance(function, ast.FunctionDef)
    last = function.body[-1]
    assert isinstance(last, ast.Return) and isinstance(last.value, ast.Tuple)
    return [element.id for element in last.value.elts if isinstance(element, ast.Name)]


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Notebook:
    monkeypatch.setitem(sys.modules, "marimo", SimpleNamespace(App=Notebook))
    app = runpy.run_path(str(NOTEBOOK))["app"]
    assert isinstance(app, Notebook)
    return app


def test_every_name_is_defined_in_one_cell_as_marimo_requires(notebook: Notebook) -> None:
    defined = [
        name
        for cell in notebook.cells
        for name in cell.__code__.co_varnames
        if name not in inspect.signature(cell).parameters and not name.startswith("_")
    ]
    assert len(notebook.cells) == 5 and len(defined) > 10
    assert sorted(defined) == sorted(set(defined))


def test_the_notebook_trains_dreams_and_plots(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("minatar")
    monkeypatch.setenv("MPLBACKEND", "agg")
    run = cli.run
    # With the batches of the notebook it would take three times as long.
    small_batches = ["--training.denoiser.batch-size", "4", "--training.actor-critic.num-dreams", "16"]
    monkeypatch.setattr(cli, "run", lambda words: run([*words, *small_batches]))
    names = notebook.run()
    assert len(names["frames"]) == 20 and names["frames"][0].shape == (1, 10, 10, 3)
    assert (names["run"] / "results" / "scores.json").is_file()
    losses = [loss for _, loss in names["losses"]]
    assert losses[-1] < 0.5 * losses[0]
