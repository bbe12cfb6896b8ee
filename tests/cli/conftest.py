"""A trained run, and a way to make mistakes."""

from __future__ import annotations

import shutil
import sys
import threading
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from commands import adamas, output

from adamas import cli
from adamas.agent import Agent, AgentConfig
from adamas.core.actions import ActionSpec
from adamas.core.checkpoint import save_checkpoint
from adamas.core.config import save_config, to_dict
from adamas.envs.config import EnvConfig
from adamas.presets import preset


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


@pytest.fixture(scope="session")
def dreamer_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of an agent for MinAtar Breakout that knows nothing, with what it played."""
    pytest.importorskip("minatar")
    run = tmp_path_factory.mktemp("dreamer") / "run"
    config = replace(preset("debug"), env=EnvConfig("minatar", "breakout", size=10, max_episode_steps=50))
    agent = AgentConfig(
        (3, 10, 10), ActionSpec.discrete(("noop", "left", "right")), config.world_model, config.actor_critic
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        weights = Agent(agent).state_dict()
    save_checkpoint(run / "checkpoints", 1, weights, {"agent": to_dict(agent), "run": to_dict(config)}, {})
    save_config(run / "config.yaml", config)
    for name, seed in (("train", 1), ("test", 2)):
        played = [
            "--out",
            str(run / "dataset" / name),
            "--steps",
            "60",
            "--num-envs",
            "2",
            "--seed",
            str(seed),
        ]
        cli.run(["collect", str(run), *played, "--device", "cpu"])
    return run


@pytest.fixture
def dreamer(dreamer_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that run, called RUN, in the working folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(dreamer_once, "RUN")
    return Path("RUN")


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
