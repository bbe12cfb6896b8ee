"""Every command works, and stops well: when it is asked to, and when the disk is full."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

from adamas import cli
from adamas.commands.train import parse_start
from adamas.core.checkpoint import find_checkpoint
from adamas.data.store import EpisodeStore
from adamas.interop.load import load
from tests.helpers.commands import ONE_EPOCH, SHORT, adamas, output
from tests.helpers.game_parts import game_of

PICTURES = {"scores.json", "agent.gif", "dream.gif", "dream.png"}
PLOTS = {"learning_curve.png", "world_model.png", "dream_rates.png", "returns.png"}


def test_train_says_what_it_does_and_leaves_a_report(trained: tuple[Path, str]) -> None:
    run_dir, out = trained
    lines = out.splitlines()
    assert lines[0] == f"{run_dir}: training on atari Breakout, seed 0, cpu"
    assert lines[2].startswith("epoch 1/2  done in ")
    assert "scoring the agent: 2 episodes of the real game" in lines
    assert {path.name for path in (run_dir / "results").iterdir()} == PICTURES | PLOTS
    assert all(f"  {run_dir / 'results' / name}" in lines for name in PICTURES | PLOTS)
    scores = json.loads((run_dir / "results" / "scores.json").read_text())
    assert len(scores["agent"]["returns"]) == len(scores["random_policy"]["returns"]) == 2
    assert scores["run"]["real_steps"] == 160


@pytest.mark.parametrize(
    ("options", "temperature"),
    [
        (["--env.game", "Freeway"], 0.01),
        (["--env.game", "Freeway", "--collection.temperature", "1"], 1.0),  # who says so, gets it
        (["--env.game", "Pong"], 1.0),
    ],
)
def test_train_takes_the_settings_that_a_game_needs(options: list[str], temperature: float) -> None:
    game = game_of(parse_start("atari100k", options).config)
    assert game.collection.temperature == temperature
    assert game.env.game == options[1]


def test_evaluate_record_and_export_in_processes(trained: tuple[Path, str], tmp_path: Path) -> None:
    run_dir, _ = trained
    evaluate = adamas("evaluate", run_dir, "--episodes", "1", "--out", tmp_path / "scores.json")
    record = adamas(
        "data", "record", tmp_path / "data", "--agent", run_dir, "--steps", "30", "--num-envs", "2"
    )
    export = adamas("export", "published", run_dir, "--out", tmp_path / "agent.pt")
    for process, shown in ((evaluate, "mean return"), (record, "frames 16x16"), (export, "agent.pt")):
        out, err = output(process)
        assert (process.returncode, err) == (0, [])
        assert shown in out
    assert len(json.loads((tmp_path / "scores.json").read_text())["agent"]["returns"]) == 1
    assert EpisodeStore.open(tmp_path / "data").num_steps == 30
    ours, published = load(run_dir).state_dict(), load(tmp_path / "agent.pt").state_dict()
    assert all(tensor.equal(published[name]) for name, tensor in ours.items())


def test_an_exported_file_scores_as_its_run(
    trained: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cli.run(["export", "published", str(trained[0]), "--out", "agent.pt"])
    env = ["--env.size", "16", "--env.max-episode-steps", "100", "--episodes", "2", "--num-envs", "2"]
    cli.run(["evaluate", "agent.pt", *env, "--seed", "5"])
    cli.run(["evaluate", str(trained[0]), "--episodes", "2", "--seed", "5", "--out", "run.json"])
    first, second = (json.loads(Path(n).read_text()) for n in ("agent-evaluation.json", "run.json"))
    assert first["agent"] == second["agent"]
    cli.run(["evaluate", str(trained[0]), "--episodes", "1", "--out", "run.json"])
    assert Path("run-2.json").exists()  # earlier scores are never overwritten


def test_a_checkpoint_folder_is_a_target_too(trained: tuple[Path, str], tmp_path: Path) -> None:
    checkpoint = find_checkpoint(trained[0] / "checkpoints").path
    cli.run(
        [
            "data",
            "record",
            str(tmp_path / "data"),
            "--agent",
            str(checkpoint),
            "--steps",
            "3",
            "--num-envs",
            "1",
        ]
    )
    assert EpisodeStore.open(tmp_path / "data").obs_shape == (3, 16, 16)


def test_scores_of_a_checkpoint_do_not_go_where_checkpoints_are_deleted(
    trained: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint = find_checkpoint(trained[0] / "checkpoints").path
    before = sorted(checkpoint.rglob("*"))
    cli.run(["evaluate", str(checkpoint), "--episodes", "1", "--num-envs", "1"])
    assert (tmp_path / f"{checkpoint.name}-evaluation.json").exists()
    assert sorted(checkpoint.rglob("*")) == before


def test_resuming_a_finished_run_says_so_and_scores_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.run(["train", "debug", *ONE_EPOCH, "--run-dir", str(tmp_path / "run")])
    cli.run(["train", "--resume", str(tmp_path / "run"), "--quiet"])
    assert not (tmp_path / "run" / "results" / "scores-2.json").exists()
    out = capsys.readouterr().out
    assert f"{tmp_path / 'run'} is finished; its results are in" in out
    assert f"adamas train --resume {tmp_path / 'run'} --final-epochs N, with N above 0" in out
    (tmp_path / "run" / "results" / "scores.json").unlink()  # as if it had been killed before it was scored
    cli.run(["train", "--resume", str(tmp_path / "run"), "--quiet"])
    assert (tmp_path / "run" / "results" / "scores.json").exists()


def test_a_run_that_never_evaluated_has_a_report(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    cli.run(["train", "debug", *ONE_EPOCH, "--run-dir", str(run_dir), "--evaluation.every-epochs", "9"])
    files = {path.name for path in (run_dir / "results").iterdir()}
    assert files == {"scores.json", "agent.gif"} | PLOTS


def test_without_matplotlib_there_are_scores_and_films(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.warns(UserWarning, match=r"no plots .*pip install 'adamas\[report\]'"):
        cli.run(["train", "debug", *ONE_EPOCH, "--run-dir", str(tmp_path / "run")])
    assert {path.name for path in (tmp_path / "run" / "results").iterdir()} == PICTURES


def test_help_lists_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.run(["train", "debug", "--help"])
    assert not stop.value.code
    out = capsys.readouterr().out
    assert all(
        name in out for name in ("--seed INT", "--training.denoiser.optimizer.lr", "--quiet", "--run-dir")
    )


def started(run_dir: Path, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    """A long run in a process of its own, in the middle of its work."""
    process = adamas(
        "train", "debug", *SHORT[:-1], "--final-epochs", "5000", "--run-dir", run_dir, *arguments, **options
    )
    metrics = run_dir / "metrics" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.exists() and b'"epoch": 2' in metrics.read_bytes()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    process = started(tmp_path / "run")
    process.send_signal(signal.SIGINT)
    _, err = output(process)
    run = tmp_path / "run"
    assert process.returncode == 130
    assert err == [f"adamas: stopped and saved in {run}; continue with: adamas train --resume {run}"]
    checkpoint = find_checkpoint(tmp_path / "run" / "checkpoints")
    assert checkpoint.step > 13


def limit_file_size() -> None:
    """Files may grow to 800 kB: the replay gets there first. Python ignores the signal that comes with it."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (800_000, 800_000))


def test_a_full_disk_is_one_line_and_loses_no_checkpoint(tmp_path: Path) -> None:
    process = started(
        tmp_path / "run",
        *("--collection.total-steps", "100000", "--collection.steps-per-epoch", "1000"),
        *("--checkpoint-minutes", "0.01", "--evaluation.every-epochs", "1000"),
        preexec_fn=limit_file_size,
    )
    _, err = output(process)
    assert process.returncode == 2
    assert len(err) == 1 and err[0].startswith("adamas: cannot write to ") and "File too large" in err[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert find_checkpoint(tmp_path / "run" / "checkpoints").step > 13
    assert len(load(tmp_path / "run").state_dict())


def test_a_full_disk_under_tensorboard_is_one_line(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
    if sys.platform != "linux" or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        process = started(disk / "run", "--evaluation.every-epochs", "1000")
        with pytest.raises(OSError, match="No space left"), (disk / "filler").open("wb", 0) as filler:
            while True:
                filler.write(bytes(4096))
        _, err = output(process)
        assert process.returncode == 2
        assert len(err) == 1 and "No space left on device" in err[0]
        (disk / "filler").unlink()
        assert len(load(disk / "run").state_dict())
    finally:
        subprocess.run(["umount", str(disk)], check=True)
