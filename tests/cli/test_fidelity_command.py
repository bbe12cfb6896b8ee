"""``adamas fidelity`` on a run: what it prints and leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from adamas.cli import run
from adamas.fidelity.figures import few_episodes, few_moments

OPTIONS = ["--windows", "4", "--horizon", "6", "--lpips", "none", "--device", "cpu", "--moments", "0"]


def test_dreams_of_a_run_beside_its_held_out_episodes(
    trained: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["fidelity", str(trained[0]), "--denoising-steps", "1,2", "--out", str(tmp_path / "found"), *OPTIONS])
    printed = capsys.readouterr().out
    result = json.loads((tmp_path / "found" / "fidelity.json").read_text())
    assert list(result["dreams"]) == ["N = 1", "N = 2", "other actions", "still frame"]
    for measured in result["dreams"].values():
        assert {"mse", "psnr", "ssim", "exact"} <= set(measured) and len(measured["mse"]["mean"]) == 6
    one, two, _, still = (measured["mse"]["mean"] for measured in result["dreams"].values())
    assert one != two and one != still
    assert result["protocol"]["windows"] == 4 and result["provenance"]["packages"]["torch"]
    names = {path.name for path in (tmp_path / "found").iterdir()}
    assert names == {"fidelity.json", "drift.png", "dream.gif", "dream.png"}
    assert (
        "mse, step 1" in printed
        and "still frame" in printed
        and str(tmp_path / "found" / "drift.png") in printed
    )


def test_nothing_is_overwritten_and_the_same_seed_measures_the_same(
    trained: tuple[Path, str], tmp_path: Path
) -> None:
    arguments = ["fidelity", str(trained[0]), "--out", str(tmp_path / "found"), *OPTIONS]
    run(arguments)
    run(arguments)
    first, second = (json.loads((tmp_path / f / "fidelity.json").read_text()) for f in ("found", "found-2"))
    assert first["dreams"] == second["dreams"] and "N = 2" in first["dreams"]


def test_another_agent_dreams_on_from_the_same_frames(
    trained: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = str(trained[0])
    run(["fidelity", agent, "--out", str(tmp_path / "found"), "--baseline", agent, *OPTIONS])
    result = json.loads((tmp_path / "found" / "fidelity.json").read_text())
    dreams = result["dreams"]
    assert result["protocol"]["baseline"] == agent and list(dreams)[-1] == "baseline"
    assert dreams["baseline"]["mse"] == dreams["N = 2"]["mse"]  # it is the same agent
    assert set(dreams["N = 2"]["margin"]["baseline"]["mean"]) == {0.0}
    assert "with lower mse than baseline" in capsys.readouterr().out


def test_recordings_at_a_url(trained: tuple[Path, str], tmp_path: Path) -> None:
    episodes = trained[0] / "dataset" / "test"
    run(["data", "pack", str(episodes), "--out", str(tmp_path / "packed")])
    for name, place in (("here", str(episodes)), ("there", (tmp_path / "packed").as_uri())):
        run(["fidelity", str(trained[0]), "--dataset", place, "--out", str(tmp_path / name), *OPTIONS])
    here, there = (json.loads((tmp_path / name / "fidelity.json").read_text()) for name in ("here", "there"))
    assert here["dreams"] == there["dreams"] and there["protocol"]["dataset"].startswith("file://")
    film = tmp_path / "film.mp4"
    place = (tmp_path / "packed").as_uri()
    run(["dream", str(trained[0]), "--dataset", place, "--out", str(film), "--steps", "3", "--device", "cpu"])
    assert film.stat().st_size


def test_moments_of_the_game(
    trained: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "found"
    run(["fidelity", str(trained[0]), "--out", str(out), *OPTIONS[:-1], "2", "--draws", "3"])
    measured = json.loads((out / "fidelity.json").read_text())["dreams"]["N = 2"]["moments"]
    assert set(measured["outcomes"]) == {"1", "4"}
    for outcome in measured["outcomes"].values():
        assert outcome["modes"] == 1  # Atari without sticky actions leaves nothing to chance
        assert outcome["total_variation"]["game"]["mean"] == 0
    assert set(measured["obedience"]["change"]["game"]) == {"noop", "fire", "right", "left"}
    assert (out / "action_sensitivity.png").is_file()
    assert "total variation, step 4 (the game's own: 0)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--denoising-steps", "1,x"], "--denoising-steps is x; give positive whole numbers"),
        (["--denoising-steps", "0"], "--denoising-steps is 0; give positive whole numbers"),
        (["--windows", "1"], "--windows is 1; it must be at least 2"),
        (["--dataset", "nowhere"], "nowhere"),
        (["--baseline", "nowhere"], "nowhere"),
        (["--weights-inception", "absent.pt"], "absent.pt does not exist"),
        (["--weights-lpips", "absent"], "alexnet.ckpt does not exist"),
        (["--out", "file/folder"], "cannot write file/folder: File exists"),
    ],
)
def test_mistakes_get_one_line(
    arguments: list[str],
    message: str,
    trained: tuple[Path, str],
    complaint: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    network = [] if any("weights" in word for word in arguments) else OPTIONS[4:6]
    options = ["--horizon", "6", "--moments", "0", "--device", "cpu", *network]
    assert message in complaint("fidelity", trained[0], *options, *arguments)


def test_a_file_has_no_held_out_episodes(complaint: Callable[..., str], trained: tuple[Path, str]) -> None:
    checkpoint = next((trained[0] / "checkpoints").glob("step-*"))
    assert "has no held-out episodes; give some with --dataset" in complaint("fidelity", checkpoint)


def test_without_its_weights_the_default_does_without(
    trained: tuple[Path, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("adamas.nn.lpips.find_spec", lambda _: None)
    with pytest.warns(
        UserWarning, match="no LPIPS and no Frechet distances: LPIPS weights are not installed"
    ):
        run(["fidelity", str(trained[0]), "--out", str(tmp_path / "found"), *OPTIONS[:4], *OPTIONS[-2:]])
    assert "lpips" not in json.loads((tmp_path / "found" / "fidelity.json").read_text())["dreams"]["N = 2"]


def test_few_episodes_and_few_moments_are_said() -> None:
    assert "only 1 held-out episode: Frechet distances and intervals need two" in few_episodes(1)
    assert "only 4 held-out episodes: intervals" in few_episodes(4) and few_episodes(5) == ""
    assert "only 1 moment of the game: intervals need two" in few_moments(1)
    assert "only 4 moments of the game: their intervals" in few_moments(4)
    assert few_moments(5) == few_moments(0) == ""
