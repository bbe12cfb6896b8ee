"""What ``adamas play`` refuses, and where its dreams start."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from adamas import cli
from adamas.commands import play as command
from adamas.data import EpisodeStore
from adamas.dreaming.starts import PlayedStarts, RecordedStarts
from tests.helpers.small_runs import as_if_recorded

Complaint = Callable[..., str]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What would be served: the engine, the datasets, the greeting, the options."""
    calls: list[Any] = []
    monkeypatch.setattr(command, "_serve", lambda *arguments: calls.extend(arguments))
    return calls


def test_dreams_start_from_held_out_episodes(trained: tuple[Path, str], served: list[Any]) -> None:
    run = trained[0]
    cli.run(["play", str(run), "--fps", "30"])
    engine, datasets, hello, options = served
    shared = engine._shared
    assert isinstance(shared.starts, RecordedStarts)
    assert list(datasets) == ["test", "train", "played-dream", "played-real"]
    assert datasets["played-dream"] == run / "recordings" / "dream"
    assert (hello.views, hello.title) == (("dream", "both", "real"), run.name)
    assert (shared.settings.fps, options.host) == (30.0, "127.0.0.1")
    assert shared.settings.denoising_steps == shared.agent.config.world_model.sampler.num_steps
    assert not (run / "recordings").exists()  # before anybody records


def test_an_agent_without_episodes_plays_for_its_starts(
    trained: tuple[Path, str], served: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint = next((trained[0] / "checkpoints").glob("step-*"))
    cli.run(["play", str(checkpoint)])
    engine, datasets, _, _ = served
    assert isinstance(engine._shared.starts, PlayedStarts)
    assert datasets == {"played-dream": Path("recordings/dream"), "played-real": Path("recordings/real")}


def test_without_a_target_the_agent_in_the_package_plays(
    served: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("minatar")
    monkeypatch.chdir(tmp_path)
    cli.run(["play", "--device", "cpu"])
    engine, datasets, hello, options = served
    assert (hello.title, hello.game) == ("demo agent", "breakout (minatar)")
    assert hello.views == ("dream", "both", "real") and hello.has_policy and hello.has_rewards
    assert engine._shared.settings.fps == options.fps == 5.0  # MinAtar at a pace for people
    assert next(iter(datasets)) == "test" and isinstance(engine._shared.starts, RecordedStarts)
    assert "adamas play RUN" in capsys.readouterr().out
    assert {parameter.dtype for parameter in engine._shared.agent.parameters()} == {torch.float32}
    size = sum(file.stat().st_size for file in command.DEMO.rglob("*") if file.is_file())
    assert 1e6 < size <= 4e6


def test_errors_about_the_agent_in_the_package_do_not_name_its_folder(
    served: list[Any], complaint: Complaint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("minatar")
    monkeypatch.chdir(tmp_path)
    said = complaint("play", "--prot", "80")
    assert said.endswith(
        "there is no option --prot; did you mean --port? (adamas play --help lists the options)"
    )
    cli.run(["play", "--env.size", "20", "--device", "cpu"])
    assert served[2].why_no_real.startswith("the agent in the package was trained on frames of shape")


def test_a_world_model_of_recordings_names_them(dreamer: Path, served: list[Any]) -> None:
    as_if_recorded(dreamer, "drives-split")
    cli.run(["play", str(dreamer), "--device", "cpu"])
    engine, datasets, hello, _ = served
    assert hello.game == "recording drives-split"
    assert not hello.has_policy and not hello.has_rewards and hello.views == ("dream",)
    assert "trained on recordings" in hello.why_no_real
    assert not engine._shared.has_policy and engine._shared.settings.fps == 15.0
    assert list(datasets)[:2] == ["test", "train"]


def test_without_the_game_there_are_dreams_alone(trained: tuple[Path, str], served: list[Any]) -> None:
    cli.run(["play", str(trained[0]), "--env.suite", "gymnasium", "--env.game", "NoSuchGame-v0"])
    engine, _, hello, _ = served
    assert engine._shared.make_env is None
    assert hello.views == ("dream",) and "NoSuchGame" in hello.why_no_real


def test_without_the_game_and_episodes_there_is_nothing(
    trained: tuple[Path, str], complaint: Complaint
) -> None:
    checkpoint = next((trained[0] / "checkpoints").glob("step-*"))
    said = complaint("play", checkpoint, "--env.suite", "gymnasium", "--env.game", "NoSuchGame-v0")
    assert "nothing to start from" in said and "--dataset" in said


def test_a_dataset_that_was_asked_for_must_do(
    trained: tuple[Path, str], complaint: Complaint, tmp_path: Path
) -> None:
    EpisodeStore.create(tmp_path / "empty", (3, 10, 10))
    shape = EpisodeStore.open(trained[0] / "dataset" / "train").obs_shape
    said = complaint("play", trained[0], "--dataset", tmp_path / "empty")
    assert ("no episode of more than" in said) == (shape == (3, 10, 10))
    assert "index.json" in complaint("play", trained[0], "--dataset", tmp_path / "nothing")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "70000"], "--port is 70000; it must be at least 0 and at most 65,535"),
        (["--fps", "0"], "--fps is 0.0; it must be at least 1 and at most 60"),
        (["--fps", "1000"], "--fps is 1000.0"),
        (["--max-players", "0"], "--max-players is 0; it must be at least 1"),
        (["--seed", "-1"], "--seed is -1; it must be at least 0"),
        (["--hots", "x"], "--hots"),
    ],
)
def test_mistakes(trained: tuple[Path, str], complaint: Complaint, arguments: list[str], said: str) -> None:
    assert said in complaint("play", trained[0], *arguments)


def test_an_address_that_is_not_this_machines(trained: tuple[Path, str], complaint: Complaint) -> None:
    pytest.importorskip("uvicorn")
    assert "cannot listen on 192.0.2.1" in complaint("play", trained[0], "--host", "192.0.2.1")
    assert "--host" in complaint("play", trained[0], "--host", "no such name")


def test_the_packages_that_are_missing_are_named(
    trained: tuple[Path, str], complaint: Complaint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "adamas.play.run_server", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert "pip install 'adamas[play]'" in complaint("play", trained[0])
