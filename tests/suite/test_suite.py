"""Runs side by side: started, stopped, killed, gone on with, and listed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

import adamas
from adamas import cli
from adamas.core.errors import Interrupted, UserError
from adamas.envs.config import GymnasiumConfig
from adamas.envs.trust import check_trusted
from adamas.suite import backends
from adamas.suite.jobs import Job, make_jobs, parse_seeds
from tests.helpers.processes import command

SHORT = ("--env.suite", "minatar", "--env.size", "10", "--collection.total-steps", "120")
FOREVER = ("--env.suite", "minatar", "--env.size", "10", "--collection.total-steps", "9999999")


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(adamas.__file__).parents[1]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def suite(*arguments: str | Path) -> None:
    cli.run(["suite", *map(str, arguments)])


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("text", "seeds"), [("0-2", [0, 1, 2]), ("7", [7]), ("0,3,5-6", [0, 3, 5, 6]), ("4-4", [4])]
)
def test_seeds(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "3-1", "1-", "-1", "0,,1"])
def test_seeds_that_are_none(text: str) -> None:
    with pytest.raises(UserError, match=r"`seeds` is .*; write seeds like"):
        parse_seeds(text)


def test_jobs_see_every_game_before_the_next_seed(tmp_path: Path) -> None:
    jobs = make_jobs("debug", ["Pong", "ALE/Boxing"], [0, 1], tmp_path)
    names = ["pong-seed-0", "ale-boxing-seed-0", "pong-seed-1", "ale-boxing-seed-1"]
    assert [job.run_dir.name for job in jobs] == names
    with pytest.raises(UserError, match="a seed occurs twice in 0, 0"):
        make_jobs("debug", ["Pong"], [0, 0], tmp_path)


def test_a_suite_runs_to_its_end_and_then_has_nothing_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    what = ("debug", "--games", "breakout,freeway", "--seeds", "3", "--out", tmp_path, "--workers", "2")
    suite("status", *what)
    assert lines(capsys)[-1] == "0 of 2 finished"
    suite(*what, "--", *SHORT)
    shown = lines(capsys)
    assert sorted(shown[:2]) == [f"{tmp_path}/{game}-seed-3: finished" for game in ("breakout", "freeway")]
    assert shown[-1] == "2 of 2 finished"
    assert re.search(r"breakout-seed-3 finished 1 120 \S+$", shown[-3])
    log = (tmp_path / "breakout-seed-3.log").read_text()
    suite(*what, "--", *SHORT)
    assert lines(capsys)[-1] == "2 of 2 finished"
    assert (tmp_path / "breakout-seed-3.log").read_text() == log
    suite("status", tmp_path)
    assert lines(capsys)[-1] == "2 of 2 finished"


def test_a_run_is_finished_when_it_has_scores_or_a_film(tmp_path: Path) -> None:
    job, results = Job("debug", "breakout", 0, tmp_path), tmp_path / "results"
    assert not job.finished
    results.mkdir()
    (results / "scores.json").touch()  # as an older version left it when it was killed
    assert not job.finished
    (results / "scores-2.json").write_text("{}")
    assert job.finished
    (results / "scores-2.json").rename(results / "dream.gif")  # a run on recordings has no scores
    assert job.finished


def test_a_worker_of_ray_trusts_the_game_that_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    game = "my_module:MyGame-v0"
    monkeypatch.setattr("adamas.envs.trust._named", set())
    monkeypatch.setattr(backends, "train", lambda _: check_trusted(GymnasiumConfig(game=game)))
    with pytest.raises(UserError, match="imports the module my_module"):
        backends._train_here(Job("debug", "other", 0, tmp_path / "run"))
    backends._train_here(Job("debug", game, 0, tmp_path / "run"))


def test_ray_gets_no_threads_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    seen = []
    monkeypatch.setattr(
        "adamas.suite.command.run_ray", lambda *_: seen.append(os.environ.get("OMP_NUM_THREADS"))
    )
    with pytest.raises(Interrupted):
        suite("debug", "--games", "breakout", "--seeds", "0", "--out", tmp_path, "--backend", "ray")
    assert seen == [None]


def wait_for(path: Path, process: subprocess.Popen[str] | None = None) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline and (process is None or process.poll() is None)
        time.sleep(0.05)


def test_a_run_that_fails_does_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    what = ("debug", "--games", "nonsense", "breakout", "--seeds", "0", "--out", tmp_path)
    with pytest.raises(UserError, match="1 of 2 runs are not finished"):
        suite(*what, "--", *SHORT)
    shown = lines(capsys)
    assert "nonsense-seed-0: unknown MinAtar game 'nonsense'" in shown[0]
    assert shown[1].endswith("breakout-seed-0: finished")
    assert "nonsense-seed-0 not begun" in shown[3] and shown[-1] == "1 of 2 finished"


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    job = Job("debug", "breakout", 0, tmp_path / "run", SHORT)
    killed = []

    def kill_once() -> None:
        wait_for(job.run_dir / "checkpoints" / "latest")
        found = subprocess.run(
            ["pgrep", "-f", f"adamas train debug .*{job.run_dir}"], capture_output=True, text=True, check=True
        )
        os.kill(int(found.stdout.split()[0]), signal.SIGKILL)
        killed.append(True)

    killer = threading.Thread(target=kill_once)
    killer.start()
    assert job.run(threading.Event()) == ""
    killer.join()
    assert killed and job.finished
    assert job.log.read_text().count("$ ") == 2 and "--resume" in job.log.read_text()


def test_ctrl_c_saves_every_run(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command(
            "suite",
            "debug",
            "--games",
            "breakout",
            "freeway",
            "--seeds",
            "0",
            "--workers",
            "2",
            "--out",
            tmp_path,
            "--",
            *FOREVER,
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for game in ("breakout", "freeway"):
            wait_for(tmp_path / f"{game}-seed-0/checkpoints/latest", process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    finally:
        process.kill()  # where it did not end by itself
    assert process.returncode == 130 and "2 of 2 runs are not finished; run the same command again" in err
    for game in ("breakout", "freeway"):
        assert (
            f"continue with: adamas train --resume {tmp_path}/{game}-seed-0"
            in (tmp_path / f"{game}-seed-0.log").read_text()
        )


def test_slurm_script_starts_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite("atari100k", "--games", "Pong", "Hero", "--seeds", "0-1", "--backend", "slurm-script", "--workers", "3",
          "--out", tmp_path / "two words", "--", "--training.actor-critic.num-dreams", "64")  # fmt: skip
    script = capsys.readouterr().out
    assert "--array=0-3%3" in script
    fake = tmp_path / "adamas"
    fake.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    fake.chmod(0o755)

    def task(number: int) -> list[str]:
        env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_ARRAY_TASK_ID": str(number)}
        done = subprocess.run(["bash"], input=script, env=env, capture_output=True, text=True, check=True)
        return done.stdout.split("|")[:-1]

    folder = tmp_path / "two words/hero-seed-1"
    new = ["train", "atari100k", "--env.game", "Hero", "--seed", "1", "--run-dir", str(folder)]
    assert task(3) == [*new, "--training.actor-critic.num-dreams", "64", "--quiet"]
    folder.mkdir(parents=True)
    (folder / "config.yaml").touch()
    assert task(3) == ["train", "--resume", str(folder), "--env.game", "Hero", "--quiet"]


def test_all_of_atari_100k_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    suite("status", "atari100k")
    shown = lines(capsys)
    assert len(shown) == 1 + 130 + 1 and shown[-1] == "0 of 130 finished"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "suite needs a preset"),
        ("debgu", "unknown preset 'debgu'; did you mean 'debug'"),
        ("status", "suite status needs a preset"),
        ("status . --typo", "suite status shows all runs in the folder .; leave out --typo"),
        ("debug --workers 0", "--workers is 0; it must be at least 1"),
        ("debug --seeds x", "--seeds is 'x'; write seeds like 0-4"),
        ("debug --backend slum", "--backend is slum; choose from local, ray, slurm-script"),
    ],
)
def test_mistakes(arguments: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        suite(*arguments.split())
