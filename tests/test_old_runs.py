"""Runs, checkpoints and configurations of version 0.1.0 still load, resume, play and show what they showed then."""

from __future__ import annotations

import json
import tarfile
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import adamas
from adamas import cli
from adamas.core.config import load_config
from adamas.data import EpisodeStore
from adamas.play.engine import Engine, Player
from adamas.play.server_messages import Hello, ViewUpdate
from adamas.report.runs import find_runs
from adamas.training.build import resume_run
from adamas.training.config import Config
from adamas.training.resuming import Changes
from tests.helpers.diamond import model_config
from tests.helpers.game_parts import game_of

ARCHIVES = Path(__file__).parent / "fixtures" / "old_runs"


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with everything in it that the old version wrote."""
    pytest.importorskip("minatar")
    for path in sorted(ARCHIVES.glob("*.tar.xz")):
        with tarfile.open(path) as archive:
            archive.extractall(tmp_path, filter="fully_trusted")  # one has a link to /tmp
    monkeypatch.chdir(tmp_path)
    return tmp_path


def records(run: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(run, "metrics/metrics.jsonl").read_text().splitlines()]


def assert_same_course(run: str) -> None:
    """A resumed run logs what it logged when the old version resumed it, up to rounding on other processors."""
    old, new = records(f"{run}-finished"), records(run)
    assert [record.pop("phase") for record in new] == [record.pop("phase") for record in old]
    for record, expected in zip(new, old, strict=True):
        assert {name: record[name] for name in expected} == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_a_run_of_a_game_resumes_and_ends_as_it_did(old: Path) -> None:
    assert len(records("game")) < len(records("game-finished"))
    cli.run(["train", "--resume", "game", "--quiet"])
    assert_same_course("game")
    scores, expected = (
        json.loads(Path(run, "results/scores.json").read_text()) for run in ("game", "game-finished")
    )
    for player in ("agent", "random_policy"):
        assert scores[player]["returns"] == expected[player]["returns"]
        assert scores[player]["lengths"] == expected[player]["lengths"]


def test_a_two_stage_run_on_recordings_resumes_and_ends_as_it_did(old: Path) -> None:
    with closing(resume_run(old / "recordings", quiet=True, changes=Changes(data="recordings-data"))) as run:
        run.run()
    assert_same_course("recordings")
    agent = adamas.load(old / "recordings", device="cpu")
    assert agent.config.obs_shape == (3, 8, 12) and agent.action_spec.axes[0].name == "steer"
    assert model_config(agent.config).upsampler is not None


def test_datasets_hold_what_was_recorded(old: Path) -> None:
    store = EpisodeStore.open(old / "recordings-data" / "train")
    episodes = list(store)
    assert len(episodes) == 4
    for episode in episodes:
        assert episode.reward.tolist() == [t % 3 - 1 for t in range(11)]
        assert episode.obs.shape == (12, 3, 8, 12)
        assert all((episode.obs[t, ..., t] == 255).all() for t in range(11))
    cli.run(["data", "validate", "recordings-data/train"])


@pytest.mark.parametrize(("name", "steps"), [("game", 2), ("ddpm", 2)])
def test_agents_load_act_and_dream(old: Path, name: str, steps: int) -> None:
    agent = adamas.load(old / name, device="cpu")
    assert model_config(agent.config).sampler.num_steps == steps
    obs = torch.zeros(1, 3, 10, 10, dtype=torch.uint8)
    action, state = agent.act(obs)
    assert 0 <= int(action) < 3
    agent.act(obs, state)
    env = adamas.make_dream(agent, old / "game/dataset/test", num_envs=2, horizon=3)
    env.reset(seed=0)
    frames, reward, *_ = env.step(np.array([0, 1]))
    assert frames.dtype == np.uint8 and reward.shape == (2,)
    env.close()


def test_agents_are_evaluated(old: Path) -> None:
    cli.run(["evaluate", "game", "--episodes", "2", "--seed", "0", "--device", "cpu", "--out", "new.json"])
    assert len(json.loads(Path("new.json").read_text())["agent"]["returns"]) == 2


def test_agents_play(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine of the page computes ten updates of a dream beside its game."""
    updates: list[ViewUpdate] = []
    hellos: list[Hello] = []
    enough = threading.Event()

    def show(update: ViewUpdate) -> None:
        updates.append(update)
        if len(updates) == 10:
            enough.set()

    def serve(engine: Engine, library: object, hello: Hello, *address: object) -> None:
        hellos.append(hello)
        with engine.running(on_fault=enough.set):
            engine.join(Player(show, lambda note: None))
            assert enough.wait(60)

    monkeypatch.setattr("adamas.play.run_server.serve", serve)
    cli.run(["play", "game", "--fps", "60", "--device", "cpu"])
    assert hellos[0].why_no_real == "" and len(updates) >= 10
    assert updates[-1].header.frame > updates[0].header.frame
    assert updates[-1].images[0].shape == (10, 10, 3)


def test_runs_are_reported(old: Path) -> None:
    runs = {run.folder.name: run for run in find_runs([old / "game", old / "game-finished"])}
    assert runs["game-finished"].score == 0.0 and runs["game"].score is None
    assert runs["game-finished"].real_steps == 160
    cli.run(["report", "game", "game-finished", "--out", "page.html"])
    assert "game-finished" in Path("page.html").read_text()


def test_every_preset_of_the_old_version_loads(old: Path) -> None:
    configs = {path.stem: load_config(path, Config) for path in sorted(Path("configs").glob("*.yaml"))}
    assert len(configs) == 21
    suites = {name: game_of(configs[name]).env.suite for name in ("atari100k", "cartpole")}
    assert suites == {"atari100k": "atari", "cartpole": "gymnasium"}
    assert {name for name, config in configs.items() if model_config(config).upsampler is not None} == {
        "csgo",
        "driving",
        "vizdoom",
    }
    assert model_config(configs["atari100k"]).sampler.num_steps == 3
    assert {
        name for name, config in configs.items() if model_config(config).denoiser.diffusion == "ddpm"
    } == {
        "ablation-ddpm",
        "ablation-ddpm-no-offset",
    }


def test_films_of_old_runs_take_samplers_by_name(old: Path) -> None:
    command = ["dream", "game", "--steps", "3", "--seed", "1", "--device", "cpu"]
    films = []
    for method in ("euler", "heun"):
        out = old / f"{method}.gif"
        cli.run([*command, "--out", str(out), "--method", method])
        films.append(out.read_bytes())
    assert films[0] != films[1]
