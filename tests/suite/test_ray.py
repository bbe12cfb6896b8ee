"""Runs on a Ray cluster: a lost worker's run goes on elsewhere."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import adamas

pytest.importorskip("ray", reason="ray is not installed; pip install 'adamas[suite]'")

OPTIONS = ("--env.suite", "minatar", "--env.size", "10", "--collection.total-steps", "120")


@pytest.fixture
def cluster_environment(tmp_path: Path) -> dict[str, str]:
    """Two workers on this machine, that can import the package and say nothing to anybody."""
    return os.environ | {
        "PYTHONPATH": str(Path(adamas.__file__).parents[1]),
        "OMP_NUM_THREADS": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_OVERRIDE_RESOURCES": '{"CPU": 2}',
    }


def workers(run_dir: Path) -> Iterator[int]:
    """Processes that hold a file of a run open."""
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                held = [os.readlink(file) for file in (process / "fd").iterdir()]
            except OSError:
                continue
            if any(file.startswith(str(run_dir)) for file in held):
                yield int(process.name)


def kill_one(folder: Path, killed: list[Path]) -> None:
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and not killed:
        for latest in folder.glob("*/checkpoints/latest"):
            for pid in workers(latest.parents[1]):
                os.kill(pid, signal.SIGKILL)
                killed.append(latest.parents[1])
                return
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="finds the worker in /proc")
def test_two_games_two_seeds_one_worker_killed(tmp_path: Path, cluster_environment: dict[str, str]) -> None:
    folder = tmp_path / "runs"
    command = [
        sys.executable,
        "-m",
        "adamas",
        "suite",
        "debug",
        "--games",
        "breakout",
        "freeway",
        "--seeds",
        "0-1",
    ]
    process = subprocess.Popen(
        [*command, "--out", str(folder), "--backend", "ray", "--", *OPTIONS],
        env=cluster_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    killed: list[Path] = []
    killer = threading.Thread(target=kill_one, args=(folder, killed))
    killer.start()
    out, err = process.communicate(timeout=400)
    killer.join()
    assert process.returncode == 0, err
    assert killed
    assert len(re.findall(r"seed-\d: finished$", out, re.MULTILINE)) == 4
    assert out.splitlines()[-1] == "4 of 4 finished"
