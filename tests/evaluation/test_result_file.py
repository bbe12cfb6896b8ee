"""Files of scores keep their format, none is ever lost, and damaged ones are refused."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adamas.commands.common import print_scores
from adamas.core.errors import UserError
from adamas.envs.config import MinAtarConfig
from adamas.evaluation.result_file import newest_file, parse_evaluation, write_evaluation, write_results
from adamas.evaluation.results import EvaluationProtocol, TrainingSummary
from tests.helpers.scores import scores_json


def test_a_file_of_scores_is_written_again_byte_by_byte(tmp_path: Path) -> None:
    text = json.dumps(scores_json(3.0, real_steps=500), indent=2) + "\n"
    evaluation = parse_evaluation(text.encode())
    assert evaluation.agent.mean_interval_95 == (2.0, 4.0)
    assert evaluation.protocol == EvaluationProtocol(
        env=MinAtarConfig(game="breakout", size=10),
        actions="sampled",
        temperature=0.5,
        episodes=3,
        num_envs=2,
        seed=7,
        device="cpu",
    )
    assert evaluation.run == TrainingSummary(config={"seed": 7}, real_steps=500, seconds=1.5)
    assert write_evaluation(tmp_path / "scores.json", evaluation).read_text() == text


def test_a_file_of_a_single_evaluation_names_its_target(tmp_path: Path) -> None:
    text = json.dumps({**scores_json(3.0), "target": "runs/a", "target_commit": None}, indent=2) + "\n"
    evaluation = parse_evaluation(text.encode())
    assert (evaluation.target, evaluation.target_commit) == ("runs/a", None)
    assert write_evaluation(tmp_path / "evaluation.json", evaluation).read_text() == text
    assert parse_evaluation(json.dumps(scores_json(3.0)).encode()) == replace(evaluation, target=None)


@pytest.mark.parametrize("interval", [None, [3.0, 3.0]])  # older versions gave a single episode the second
def test_scores_of_a_single_episode(interval: list[float] | None, tmp_path: Path) -> None:
    data = scores_json(3.0)
    data["agent"] |= {"returns": [3.0], "lengths": [9], "mean_interval_95": interval}
    text = json.dumps(data, indent=2) + "\n"
    evaluation = parse_evaluation(text.encode())
    assert evaluation.agent.mean_interval_95 == (interval and (3.0, 3.0))
    assert write_evaluation(tmp_path / "scores.json", evaluation).read_text() == text


def test_scores_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    data = scores_json(3.0)
    data["random_policy"] |= {"returns": [0.5], "lengths": [9], "mean_interval_95": None}
    print_scores(parse_evaluation(json.dumps(data).encode()))
    assert capsys.readouterr().out.splitlines() == [
        "agent          mean return     3.00  [2.00, 4.00] over 3 episodes",
        "random policy  mean return     0.50  over 1 episode",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"agent": "good"}, "agent is 'good'"),
        ({"protocol": None}, "protocol is None"),
        ({"protocol": {"env": {"suite": "go"}}}, "protocol.env.suite"),
        ({"run": {"config": {}, "real_steps": 5.5, "seconds": 1}}, "run.real_steps is 5.5"),
        ({"run": {}}, "run.config is missing"),
    ],
)
def test_a_damaged_entry_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_evaluation(json.dumps(scores_json(1.0) | change).encode())


def test_the_newest_file_counts_unless_it_is_empty(tmp_path: Path) -> None:
    assert newest_file(tmp_path) is None
    for name in ("scores.json", "scores-10.json", "scores-2.json", "evaluation.json"):
        (tmp_path / name).write_text("{}")
    assert newest_file(tmp_path) == tmp_path / "scores-10.json"
    (tmp_path / "scores-10.json").write_text("")
    assert newest_file(tmp_path) == tmp_path / "scores-2.json"


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
