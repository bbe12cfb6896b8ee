"""Plots show the numbers that a run recorded."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adamas.core.errors import UserError
from adamas.evaluation.evaluate import score_episodes
from adamas.evaluation.protocol import EpisodeScore
from adamas.evaluation.result_file import parse_evaluation
from adamas.evaluation.results import Evaluation
from adamas.report.records import Record, curve, evaluations, read_records
from adamas.report.run_plots import dream_rates, learning_curve, returns, save_plots, world_model
from tests.helpers.scores import scores_json


def make_scores(agent: list[float], random: list[float]) -> Evaluation:
    scores = [score_episodes([EpisodeScore(x, 1) for x in values], seed=0) for values in (agent, random)]
    whole = parse_evaluation(json.dumps(scores_json(0.0)).encode())
    return replace(whole, agent=scores[0], random_policy=scores[1])


SCORES = make_scores([3.0, 4.0, 4.0, 9.0], [0.0, 0.0, 1.0, 3.0])


@pytest.fixture
def records(run_dir: Path) -> tuple[list[Record], list[Record]]:
    return read_records(run_dir / "metrics/metrics.jsonl"), read_records(run_dir / "metrics/timing.jsonl")


def lines(ax: Any) -> dict[str, tuple[list[float], list[float]]]:
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in ax.lines}


def test_records_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with pytest.raises(UserError, match="cannot read"):
        read_records(path)
    one = {"step": 1, "epoch": 0, "phase": "denoiser", "loss": "inf"}
    line = json.dumps(one) + "\n"
    path.write_text(2 * line + '{"st')
    record = Record(step=1, epoch=0, phase="denoiser", values={"loss": float("inf")})
    assert read_records(path) == [record, record], "a line that is being written is not there yet"
    deep = 100_000 * "["
    values: tuple[Any, ...] = ("much", None, [1], {})
    for damaged in (
        *('{"st', "3", "[]", "{}", deep, '{"step": 1}', "\ud800".encode(errors="replace").decode()),
        *(json.dumps({**one, name: value}) for name, value in (("step", "1"), ("epoch", None), ("phase", 2))),
        *(json.dumps({**one, "loss": value}) for value in values),
        '{"step": 1, "epoch": 0, "phase": "denoiser", "loss": ' + 400 * "9" + "}",
    ):
        path.write_text(line + damaged + "\n")
        with pytest.raises(UserError, match="damaged"):
            read_records(path)


def test_pipes_and_folders_are_no_records(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(UserError, match=r"pipe.jsonl: it is no regular file"):  # and does not wait
        read_records(tmp_path / "pipe.jsonl")
    with pytest.raises(UserError, match=r"Is a directory"):
        read_records(tmp_path)


def test_several_records_of_an_epoch_spread_over_it(records: tuple[list[Record], list[Record]]) -> None:
    epochs, losses = curve(records[0], "denoiser", "loss")
    assert epochs.tolist() == [0.5, 1, 2] and losses.tolist() == [1, 0.5, 0.25]
    assert np.isnan(curve(records[0], "actor_critic", "loss")[1]).all(), "JSON has no nan, but the run had"
    assert len(curve(records[0], "denoiser", "no such metric")[0]) == 0


def test_evaluations_against_real_steps_and_hours(records: tuple[list[Record], list[Record]]) -> None:
    metrics, timing = records
    real_steps, hours, values = evaluations(metrics, timing)
    assert real_steps.tolist() == [600, 700] and values.tolist() == [2.5, 3.5]
    assert hours.tolist() == pytest.approx([2.09, 2.12])
    metrics = [
        replace(record, values={name: x for name, x in record.values.items() if name != "real_steps"})
        for record in metrics
    ]
    assert evaluations(metrics, timing)[0].tolist() == [1, 2], "epochs instead"
    assert [len(x) for x in evaluations([], [])] == [0, 0, 0]


def test_learning_curve(records: tuple[list[Record], list[Record]]) -> None:
    left, right = learning_curve(*records, SCORES).axes
    assert lines(left)["during training"] == ([600, 700], [2.5, 3.5])
    assert lines(right)["during training"][0] == pytest.approx([2.09, 2.12])
    assert left.get_xlabel() == "steps in the real game" and right.get_xlabel().startswith("hours")
    final = next(line for label, line in lines(left).items() if label.startswith("final agent: 5 (95 %"))
    assert final[1] == [5, 5]
    assert any(label.startswith("random policy: 1 (") for label in lines(left))
    assert len(left.patches) == 2, "both means have their interval"


def test_a_single_episode_has_no_interval(records: tuple[list[Record], list[Record]]) -> None:
    left, _ = learning_curve(*records, make_scores([7.0], [1.0])).axes
    assert {"final agent: 7 (1 episode)", "random policy: 1 (1 episode)"} <= lines(left).keys()
    assert not left.patches


def test_world_model(records: tuple[list[Record], list[Record]]) -> None:
    losses, judging, right, psnr = world_model(records[0]).axes
    assert lines(losses) == {"denoiser": ([0.5, 1, 2], [1, 0.5, 0.25]), "reward_end": ([1], [0.3])}
    assert lines(judging) == {"reward": ([1], [0.1]), "end": ([1], [0.2])}
    assert lines(right) == {"next frame": ([1, 2], [75, 100]), "frame 15 steps on": ([1], [25])}
    assert lines(psnr) == {"next frame": ([1, 2], [20, 30]), "frame 15 steps on": ([1], [10])}


def test_dream_rates(records: tuple[list[Record], list[Record]]) -> None:
    reward, end = dream_rates(records[0]).axes
    assert lines(reward)["real, collected"] == ([0, 1, 2], [0.1, 0.3, 0.3])
    assert lines(reward)["dream, for training"] == ([1], [0.2])
    assert [y for _, y in lines(end).values()] == [[0.2, 0.4, 0.4], [0.1], [0.1], [0.0]]


@pytest.mark.parametrize(
    "scores",
    [
        SCORES,
        make_scores([7.0], [7.0]),
        make_scores([0.25, 0.5], [0.0, 0.0]),
        make_scores([-21.0, 1e4], [0.0, 3.0]),
    ],
)
def test_no_episode_is_left_out_of_the_histogram(scores: Evaluation) -> None:
    (ax,) = returns(scores).axes
    for bars, score in zip(ax.containers, scores.scores.values(), strict=True):
        assert sum(bar.get_height() for bar in bars) == len(score.returns)


def test_whole_returns_have_a_bin_each() -> None:
    agent, random = returns(SCORES).axes[0].containers
    assert [bar.get_height() for bar in agent] == [0, 0, 0, 1, 2, 0, 0, 0, 0, 1]
    assert [bar.get_height() for bar in random] == [2, 1, 0, 1, 0, 0, 0, 0, 0, 0]


def test_all_plots_are_drawn(run_dir: Path) -> None:
    paths = save_plots(run_dir, SCORES, run_dir / "results")
    assert [p.name for p in paths] == [
        "learning_curve.png",
        "world_model.png",
        "dream_rates.png",
        "returns.png",
    ]
    for path in paths:
        with Image.open(path) as image:
            assert image.width > 600 and image.height > 400
            assert image.convert("L").getpixel((0, 0)) == 255, "light background"


def test_a_run_that_has_only_begun(run_dir: Path) -> None:
    for name in ("metrics", "timing"):
        (run_dir / "metrics" / f"{name}.jsonl").write_text("")
    assert all(path.stat().st_size > 0 for path in save_plots(run_dir, SCORES, run_dir / "results"))
    for figure in (world_model([]), dream_rates([])):
        assert all(ax.texts[0].get_text() == "nothing recorded" for ax in figure.axes)


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UserError, match=r"pip install 'adamas\[report\]'"):
        returns(SCORES)
