"""Mistakes that used to puzzle: what is said instead, and what is not done any more."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from adamas import cli
from adamas.commands import export
from adamas.commands import train as train_command
from adamas.core.console import counted
from adamas.core.errors import Interrupted


def test_a_page_whose_folder_exists_downloads_nothing(
    trained: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, complaint: Callable[..., str]
) -> None:
    monkeypatch.setattr(export, "pack_runtime", lambda folder: pytest.fail("downloaded"))
    monkeypatch.setattr(export, "load", lambda *arguments: pytest.fail("loaded"))
    for command in ("web", "onnx"):
        line = complaint("export", command, trained[0], "--out", tmp_path)
        assert line == f"{tmp_path} exists and is not overwritten; choose another name"


def test_a_comparison_without_comparable_runs(
    tmp_path: Path, complaint: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = SimpleNamespace(method="quickstart", score=5.0, game="breakout")  # of MinAtar
    monkeypatch.setattr("adamas.report.command.find_runs", lambda folders: [run])
    line = complaint("report", "runs", "--against", "DIAMOND,IRIS", "--out", tmp_path / "page.html")
    assert line.startswith("nothing can be compared with DIAMOND, IRIS: published scores are of the 26 games")
    assert line.endswith("leave out --against")
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(("count", "text"), [(0, "0 episodes"), (1, "1 episode"), (1200, "1,200 episodes")])
def test_numbers_of_things(count: int, text: str) -> None:
    assert counted(count, "episode") == text


def test_ctrl_c_while_scoring_says_how_to_continue(
    trained: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(trainer: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train_command, "_is_finished", lambda trainer: False)
    monkeypatch.setattr(train_command, "_report", interrupt)
    with pytest.raises(
        Interrupted, match=rf"trained but not scored; continue with: .* --resume {trained[0]}"
    ):
        cli.run(["train", "--resume", str(trained[0]), "--quiet"])


@pytest.mark.parametrize(
    "command", [["-c", "import adamas; print(adamas.__version__)"], ["-m", "adamas", "--version"]]
)
def test_a_clone_in_the_working_folder_does_not_hide_the_package(command: list[str], tmp_path: Path) -> None:
    clone = tmp_path / "adamas"
    clone.symlink_to(Path(cli.__file__).parents[1], target_is_directory=True)
    # As an editable installation: the clone comes after the working folder.
    environment = os.environ | {"PYTHONPATH": str(clone)}
    done = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


def test_an_editable_installation_puts_the_clone_on_the_path() -> None:
    """Without this, setuptools installs an import hook, which the folder of the clone hides from its parent folder."""
    project = (Path(cli.__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert 'package-dir = { "" = "." }' in project
