"""A trained run, and a way to make mistakes."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from adamas import cli
from tests.helpers.commands import adamas, output


@pytest.fixture(scope="session")
def trained(made_once: Callable[..., Path]) -> tuple[Path, str]:
    """The folder of a run of the debug preset, and what it printed."""

    def train(folder: Path) -> None:
        process = adamas("train", "debug", "--run-dir", folder / "run")
        out, err = output(process)
        assert (process.returncode, err) == (0, [])
        (folder / "printed").write_text(out)

    folder = made_once("trained", train)
    return folder / "run", (folder / "printed").read_text()


@pytest.fixture
def complaint(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must fail, and returns the one line it says."""
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # main() sets both
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)

    def run(*arguments: str | Path) -> str:
        monkeypatch.setattr(sys, "argv", ["adamas", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert stop.value.code == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1, lines
        assert lines[0].startswith("adamas: ")
        return lines[0].removeprefix("adamas: ")

    return run
