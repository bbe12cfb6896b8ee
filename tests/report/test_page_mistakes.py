"""Damaged scores, and files and folders that cannot be reported, are named in one line."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any

import pytest

from adamas.core.errors import UserError
from adamas.report.runs import find_runs
from tests.helpers.report_runs import make_run, write_score


def test_what_cannot_be_reported_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no run in .*; start one with"):
        find_runs([tmp_path])
    with pytest.raises(UserError, match=r"is no folder"):
        find_runs([tmp_path / "nowhere"])
    folder = make_run(tmp_path / "a")
    (folder / "results/scores.json").write_text("{}")
    with pytest.raises(UserError, match=r"is damaged \(ValueError: protocol is missing\)"):
        find_runs([tmp_path])
    write_score(folder / "results/scores.json", 10**400)
    with pytest.raises(UserError, match=r"is damaged \(OverflowError"):
        find_runs([tmp_path])
    (folder / "config.yaml").unlink()
    with pytest.raises(UserError, match=r"cannot read .*config.yaml"):
        find_runs([tmp_path])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (("agent", "mean"), "7"),
        (("agent", "mean"), True),
        (("agent", "mean"), float("nan")),
        (("agent", "returns"), []),
        (("agent", "returns"), 3),
        (("random_policy", "mean_interval_95"), [1]),
        (("provenance", "packages"), "torch"),
        (("provenance", "git"), []),
        (("agent",), "good"),
    ],
)
def test_scores_of_another_make_are_damaged(key: tuple[str, ...], value: Any, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    file = run / "results/scores.json"
    scores = json.loads(file.read_text())
    functools.reduce(lambda part, name: part[name], key[:-1], scores)[key[-1]] = value
    file.write_text(json.dumps(scores))
    with pytest.raises(UserError, match="is damaged"):
        find_runs([run])


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b"\xff", b"3", b"[]", b'{"agent": 1' + 5000 * b"1" + b"}"]
)
def test_scores_that_are_none_are_damaged(content: bytes, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "results/scores.json").write_bytes(content)
    with pytest.raises(UserError, match="is damaged"):
        find_runs([run])


def test_what_is_no_file_of_scores(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", score=None)
    os.mkfifo(run / "results/scores.json")
    with pytest.raises(
        UserError, match=r"cannot read .*scores.json: it is no regular file"
    ):  # and does not wait
        find_runs([run])
    (run / "results/scores.json").unlink()
    (run / "results/scores.json").mkdir()
    with pytest.raises(UserError, match=r"cannot read .*scores.json: Is a directory"):
        find_runs([run])


def test_an_empty_file_of_scores_counts_for_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", score=7.0)
    (run / "results/scores-2.json").touch()  # a killed process of an older version
    assert find_runs([run])[0].score == 7.0
