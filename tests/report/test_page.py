"""The page shows what runs recorded, whatever state they are in, and averages only what belongs together."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest

from adamas import cli
from adamas.core.config import to_dict
from adamas.evaluation.scores import normalise, references
from adamas.presets import preset
from adamas.report.figures import profiles
from adamas.report.page import aggregate_table, config_differences, render
from adamas.report.runs import find_runs, scores_of
from tests.helpers.report_runs import GIF, Words, make_recordings_run, make_run, words, write_score


def test_runs_of_one_configuration_belong_together(tmp_path: Path) -> None:
    make_run(tmp_path / "base/a", seed=0, score=3)
    make_run(tmp_path / "base/b", seed=1, score=5)
    make_run(tmp_path / "base/c", game="Pong", score=-20)
    make_run(tmp_path / "base/d", seed=2, score=100, final_epochs=7)
    make_run(tmp_path / "other/e", seed=3, score=None)
    runs = find_runs([tmp_path])
    assert [run.method for run in runs] == ["base", "base", "base", "base (2)", "base"]
    scores = scores_of(runs, "base")
    assert {game: list(values) for game, values in scores.items()} == {"Breakout": [3, 5], "Pong": [-20]}
    assert config_differences(runs) == [("final_epochs", ["0", "7"])]
    (row, other) = aggregate_table({m: normalise(scores_of(runs, m)) for m in ("base", "base (2)")})
    breakout, pong = references()["Breakout"], references()["Pong"]
    assert row.num_runs == 3 and other.num_runs == 1
    assert row.estimates["mean"].value == pytest.approx((breakout.normalise(4) + pong.normalise(-20)) / 2)


def test_what_one_game_needs_is_shown_and_makes_no_other_method(tmp_path: Path) -> None:
    collection = to_dict(preset("debug"))["collection"]
    nearly_greedy = {**collection, "temperature": 0.01}
    make_run(tmp_path / "base/a", game="Pong", score=-20)
    make_run(tmp_path / "base/b", game="Freeway", score=30, collection=nearly_greedy)
    make_run(tmp_path / "base/c", game="Freeway", score=0)  # somebody wanted it otherwise
    runs = find_runs([tmp_path])
    assert [run.method for run in runs] == ["base", "base", "base (2)"]
    assert "Freeway collection.temperature 0.01" in words(tmp_path)
    make_run(tmp_path / "other/d", game="Boxing", score=1, collection=nearly_greedy)
    boxing = find_runs([tmp_path / "base/a", tmp_path / "other/d"])
    assert boxing[0].method != boxing[1].method  # Boxing needs no such thing


def test_a_setting_that_no_game_needs_is_a_difference_beside_one_that_a_game_needs(tmp_path: Path) -> None:
    collection = to_dict(preset("debug"))["collection"]
    make_run(tmp_path / "base/a", game="Freeway", score=30, collection={**collection, "temperature": 0.01})
    make_run(tmp_path / "base/b", game="Pong", score=-20, collection={**collection, "temperature": 0.5})
    make_run(tmp_path / "base/c", game="Boxing", score=1)
    assert [run.method for run in find_runs([tmp_path])] == ["base", "base (2)", "base"]


def test_page_of_one_run_of_one_game(tmp_path: Path) -> None:
    make_run(tmp_path / "base/a", score=31.8)
    page = render(find_runs([tmp_path / "base/a"]), [])
    assert "A Processor" in page and "c0ffee" in page
    text = Words(page).text
    assert "1 run of base" in text and "31.80 30.80 to 32.80, 3 episodes" in text and "0.50" in text
    assert (
        "Breakout), not on all 26 of Atari 100k" in text
        and "a method with a single run of a game has none" in text
    )
    assert f"data:image/gif;base64,{base64.b64encode(GIF).decode()}" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page), "the page needs another file"


def test_published_methods_are_compared_on_the_same_games(tmp_path: Path) -> None:
    make_run(tmp_path / "base/a", score=31.8)
    make_run(tmp_path / "base/b", seed=1, score=1.7)
    text = words(tmp_path, "DIAMOND", "STORM")
    row = re.search(r"DIAMOND \(published\) 5 (\S+)", text)
    assert row and float(row[1]) == pytest.approx((132.48 - 1.7) / 28.8, abs=1e-3)  # Breakout alone
    assert "Freeway" in text


def test_unfinished_runs_and_games_without_reference_are_shown(tmp_path: Path) -> None:
    make_run(tmp_path / "base/a", score=None)
    text = words(tmp_path)
    assert "not finished" in text and "Human-normalised" not in text
    make_run(tmp_path / "base/b", game="breakout", score=7.0)
    text = words(tmp_path)
    assert "7.00" in text and "Human-normalised" not in text


def test_different_games_of_different_methods_are_not_aggregated(tmp_path: Path) -> None:
    make_run(tmp_path / "one/a")
    make_run(tmp_path / "two/b", game="Pong", final_epochs=7)
    assert "no Atari game in common" in words(tmp_path)


def test_a_run_that_has_only_just_begun(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "base/a", score=None)
    for name in ("metrics", "timing"):
        (folder / f"metrics/{name}.jsonl").write_text("")
    assert "0 0.00 not finished" in words(tmp_path)


def test_runs_on_recordings_show_their_world_model_and_no_scores(tmp_path: Path) -> None:
    make_recordings_run(tmp_path / "mine/a")
    page = render(find_runs([tmp_path]), [])
    text = Words(page).text
    assert "recordings drives 0 0.50 no policy" in text and "so they have no score" in text
    assert "Next dreamt frame: PSNR (dB)" in text and "held-out frames, and the dream" in text
    for absent in ("The agent", "Ends: precision", "not finished", "Scores by game", "not been evaluated"):
        assert absent not in text, absent
    make_run(tmp_path / "game/b")
    text = words(tmp_path)
    assert "2 runs of game, mine" in text and text.count("The agent") == 1


def test_runs_on_several_recordings_are_one_method_and_those_in_a_game_another(tmp_path: Path) -> None:
    make_recordings_run(tmp_path / "mine/a")
    make_recordings_run(tmp_path / "mine/b", data="s3://bucket/flights", seed=1)
    make_recordings_run(tmp_path / "other/c", final_epochs=9)
    make_run(tmp_path / "game/d", score=None)
    runs = {run.folder.name: run for run in find_runs([tmp_path])}
    assert [runs[name].method for name in "abcd"] == ["mine", "mine", "other", "game"]
    assert [runs[name].game for name in "abc"] == [
        "recordings drives",
        "recordings flights",
        "recordings drives",
    ]


def test_the_last_score_counts_and_each_run_once(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "base/a", score=1.0)
    write_score(folder / "results/scores-10.json", 3.0)
    write_score(folder / "results/scores-2.json", 2.0)
    runs = find_runs([tmp_path, folder])
    assert [run.score for run in runs] == [3.0]


def test_names_are_escaped(tmp_path: Path) -> None:
    make_run(tmp_path / "<b>&/a")
    page = render(find_runs([tmp_path]), [])
    assert "<b>" not in page and "&lt;b&gt;&amp;" in page


def test_command_writes_a_page_and_never_over_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path / "base/a")
    out = tmp_path / "new" / "page.html"
    for expected in (out, tmp_path / "new" / "page-2.html"):
        cli.run(["report", str(tmp_path / "base"), "--against", "DIAMOND,IRIS", "--out", str(out)])
        assert capsys.readouterr().out.split() == [str(expected)]
        assert "IRIS (published)" in Words(expected.read_text()).text


def test_command_prints_the_published_table(capsys: pytest.CaptureFixture[str]) -> None:
    cli.run(["report", "--published"])
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert any(
        re.match(r"DIAMOND 1\.459 \[.*\] 0\.373 \[.*\] 0\.641 \[.*\] 0\.480 \[.*\] 11$", x) for x in lines
    )
    assert any(re.match(r"STORM 1\.266 ", x) for x in lines) and any(
        re.match(r"STORM \(raw\) 1\.222 ", x) for x in lines
    )
    assert any("STORM: Freeway is 33.5" in line for line in lines)


def test_a_run_of_a_single_episode_has_no_interval(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", score=3)
    file = run / "results/scores.json"
    scores = json.loads(file.read_text())
    assert "2.00 to 4.00, 3 episodes" in words(tmp_path)
    scores["agent"] |= {"mean_interval_95": None, "returns": [3.0], "lengths": [9]}
    file.write_text(json.dumps(scores))
    shown = words(tmp_path)
    assert "3.00 1 episode 0.50" in shown and "2.00 to 4.00" not in shown
    assert "a method with a single run of a game has none" in shown


def test_profiles_average_games_that_have_several_runs(tmp_path: Path) -> None:
    for seed, score in ((0, 10.0), (1, 30.0)):
        make_run(tmp_path / f"base/b{seed}", seed=seed, score=score)
        make_run(tmp_path / f"base/p{seed}", "Pong", seed, score=score - 20)
    runs = find_runs([tmp_path])
    normalised = normalise(scores_of(runs, "base"))
    assert np.allclose(normalised["Pong"], [(10 - 20 + 20.7) / 35.3, (30 - 20 + 20.7) / 35.3])
    assert "share of runs above it" in render(runs, ["SimPLe"])


@pytest.mark.parametrize(("second", "has_band"), [([0.5, 1.5], True), ([0.5], False)])
def test_profiles_have_bands_if_every_game_has_several_runs(second: list[float], has_band: bool) -> None:
    runs = {"Pong": np.array([1.0, 2.0]), "Breakout": np.array(second)}
    (ax,) = profiles({"base": runs}, {"base": "C0"}).axes
    assert bool(ax.collections) == has_band
