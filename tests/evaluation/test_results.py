"""Scores of agent and random policy, their statistics, where they came from, and that none is ever lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import adamas.evaluation.results as results
from adamas.agent import Agent
from adamas.core.errors import UserError
from adamas.envs.config import EnvConfig, MinAtarConfig
from adamas.envs.make import make_env
from adamas.evaluation.protocol import EpisodeScore
from adamas.evaluation.results import (
    bootstrap_interval,
    evaluate_agent,
    git_state,
    provenance,
    summary,
    write_results,
)

BREAKOUT = MinAtarConfig(game="breakout", size=10)


def evaluate(agent: Agent, **changes: Any) -> dict[str, Any]:
    options: dict[str, Any] = {
        "episodes": 5,
        "num_envs": 2,
        "seed": 3,
        "device": torch.device("cpu"),
    } | changes
    return evaluate_agent(agent, options.pop("env_config", BREAKOUT), **options)


def test_evaluation_says_what_was_done_and_repeats(agent: Agent) -> None:
    first, again, other = evaluate(agent), evaluate(agent), evaluate(agent, seed=4)
    assert set(first) == {"protocol", "agent", "random_policy", "provenance"}
    assert first["protocol"] | {"env": None} == {
        **{"env": None, "training": False, "actions": "sampled", "temperature": 1.0},
        **{"episodes": 5, "num_envs": 2, "seed": 3, "device": "cpu"},
    }
    assert first["protocol"]["env"]["game"] == "breakout"
    for name in ("agent", "random_policy"):
        assert len(first[name]["returns"]) == len(first[name]["lengths"]) == 5
        assert first[name] == again[name]
        assert min(first[name]["lengths"]) > 3, "the ball falls for some steps"
    assert first["agent"]["lengths"] != other["agent"]["lengths"]
    assert json.loads(json.dumps(first)) == first


def test_the_random_policy_stays_random_when_the_agent_is_greedy(agent: Agent) -> None:
    sampled, greedy = evaluate(agent), evaluate(agent, temperature=0.0)
    assert greedy["protocol"]["actions"] == "greedy"
    assert greedy["random_policy"] == sampled["random_policy"]
    assert greedy["agent"] != sampled["agent"]


def test_whole_games_are_played_by_both_policies(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def recording(config: EnvConfig, num_envs: int, seed: int, training: bool) -> Any:
        calls.append((config, num_envs, seed, training))
        return make_env(config, num_envs, seed, training)

    monkeypatch.setattr(results, "make_env", recording)
    evaluate(agent, episodes=1, num_envs=8)
    assert calls[0] == calls[1], "both policies meet the same games"
    assert calls[0][1] == 1 and calls[0][3] is False


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"episodes": 0}, "`episodes` is 0"),
        ({"temperature": -1.0}, "`temperature` is -1.0"),
        ({"env_config": MinAtarConfig(game="breakout", size=20)}, "trained on frames"),
        ({"env_config": MinAtarConfig(game="asterix", size=10)}, "3 actions"),
    ],
)
def test_impossible_evaluations_are_refused(agent: Agent, change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        evaluate(agent, **change)


def test_statistics_by_hand() -> None:
    episodes = [EpisodeScore(score, length) for score, length in [(0, 2), (0, 4), (1, 6), (7, 8)]]
    numbers = summary(episodes, seed=0)
    low, high = numbers.pop("mean_interval_95")
    assert numbers == {
        **{"mean": 2.0, "median": 0.5, "mean_length": 5.0, "std": pytest.approx((34 / 4) ** 0.5)},
        **{"returns": [0, 0, 1, 7], "lengths": [2, 4, 6, 8]},
    }
    assert 0 <= low < 2 < high <= 7


def test_bootstrap_interval() -> None:
    assert bootstrap_interval(np.array([4.0, 4.0]), seed=0) == [4, 4]
    # Means of two draws from {0, 1} are 0, 1/2, 1 with probabilities 1/4, 1/2, 1/4.
    assert bootstrap_interval(np.array([0.0, 1.0]), seed=0) == [0, 1]
    values = np.random.default_rng(0).normal(10, 2, size=400)
    interval = bootstrap_interval(values, seed=1)
    half_width = 1.96 * values.std() / 20  # the normal approximation is good here
    assert interval == pytest.approx([values.mean() - half_width, values.mean() + half_width], abs=0.02)
    assert interval == bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)


def test_provenance_names_code_and_machine() -> None:
    found = provenance()
    assert found["packages"]["numpy"] == np.__version__
    assert set(found["packages"]) <= set(results.PACKAGES)
    assert found["cores"] == os.cpu_count() and found["cpu"] and found["time_utc"].endswith("+00:00")
    assert json.loads(json.dumps(found)) == found


def git(folder: Path, *command: str) -> str:
    user = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.check_output(["git", "-C", str(folder), *user, *command], text=True).strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_state_of_a_checkout(tmp_path: Path) -> None:
    unknown = {"commit": "unknown", "dirty": None}
    package, installed = tmp_path / "package", tmp_path / "site-packages"
    for folder in (package, installed):
        folder.mkdir()
        (folder / "code.py").write_text("one\n")
    git(tmp_path, "init", "-q")
    assert git_state(package) == unknown
    git(tmp_path, "add", "package")
    git(tmp_path, "commit", "-q", "-m", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert git_state(package) == {"commit": commit, "dirty": False}
    assert git_state(installed) == unknown, "it is not part of the repository around it"
    (package / "code.py").write_text("two\n")
    assert git_state(package) == {"commit": commit, "dirty": True}


def test_git_state_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path) == {"commit": "unknown", "dirty": None}


def test_results_are_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "results" / "scores.json"
    written = [write_results(path, {"number": n}) for n in range(3)]
    assert [p.name for p in written] == ["scores.json", "scores-2.json", "scores-3.json"]
    assert [json.loads(p.read_text())["number"] for p in written] == [0, 1, 2]
    written[1].unlink()
    assert write_results(path, {}) == written[1]
    assert {p.name for p in path.parent.iterdir()} == {p.name for p in written}, "nothing is left behind"


def test_a_full_disk_leaves_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left"):
        write_results(tmp_path / "scores.json", {})
    assert not list(tmp_path.iterdir())


def test_results_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        write_results(tmp_path / "file" / "scores.json", {})
    with pytest.raises(ValueError):
        write_results(tmp_path / "scores.json", {"mean": float("nan")})
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
