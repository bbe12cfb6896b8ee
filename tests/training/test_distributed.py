"""Two processes train what one does with as many shards, bit for bit, also when they are killed on the way."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
import torch

from adamas import cli
from tests.helpers.tiny_config import differing, fingerprint

DEBUG = [
    *("train", "debug", "--env.suite", "minatar", "--env.game", "breakout", "--env.size", "10"),
    *("--num-shards", "3"),  # unequal ones, two in the first process and one in the second
    *("--tensorboard", "False"),
]
LIMIT = 120  # seconds


def adamas(
    *arguments: str | Path, processes: int = 1, env: Mapping[str, str] = MappingProxyType({})
) -> subprocess.Popen[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.Popen(
        [sys.executable, *(launcher if processes > 1 else []), "-m", "adamas", *map(str, arguments)],
        env=os.environ | {"OMP_NUM_THREADS": "1", **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str], code: int = 0) -> str:
    out, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == code, out
    return out


def run_alone(*arguments: str | Path) -> None:
    """A run in this process, on one core as each of the others has."""
    torch.set_num_threads(1)
    cli.run([*map(str, arguments)])


def start_two(run_dir: Path, *arguments: str | Path) -> list[subprocess.Popen[str]]:
    """A run in two processes that nobody watches, and that saves itself after every step."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [
        adamas(
            *(*arguments, "--run-dir", run_dir, "--checkpoint-minutes", "0"),
            env={"RANK": rank, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
        )
        for rank in "01"
    ]


def wait_for(step: int, run_dir: Path, group: list[subprocess.Popen[str]]) -> None:
    """Wait until there is the checkpoint of ``step``."""
    deadline = time.monotonic() + LIMIT
    while not any(run_dir.glob(f"checkpoints/step-*{step:02}")):
        assert time.monotonic() < deadline and all(process.poll() is None for process in group)
        time.sleep(0.002)


def kill_two_at(step: int, run_dir: Path, *arguments: str | Path) -> None:
    """Start a run in two processes, and kill them once there is the checkpoint of ``step``."""
    group = start_two(run_dir, *arguments)
    wait_for(step, run_dir, group)
    for process in group:
        process.kill()
    for process in group:
        process.communicate()
    assert [process.returncode for process in group] == [-signal.SIGKILL] * 2
    assert not (run_dir / "results").exists()  # it was not at its end


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("one") / "run"
    run_alone(*DEBUG, "--run-dir", run_dir)
    return run_dir


def test_two_processes_compute_what_one_does_also_when_one_is_killed_and_both_are_resumed(
    whole: Path, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    group = start_two(run_dir, *DEBUG)
    wait_for(10, run_dir, group)  # in the middle of the policy's updates, when both have dreams of their own
    group[1].kill()
    out = finish(group[0], code=2)
    lines = [line for line in out.splitlines() if line.startswith("adamas: ")]
    assert len(lines) == 1, out
    assert re.match(
        r"adamas: actor_critic, \w+: process 0 of 2 cannot go on alone: rank 1 on \S+ ended", lines[0]
    ), out
    assert "Traceback" not in out
    group[1].communicate()
    assert not (run_dir / "results").exists()  # it was not at its end
    out = finish(adamas("train", "--resume", run_dir, processes=2))
    assert out.count("mean return") == 2  # rank 0 alone reports: the agent, and the random policy
    assert not differing(fingerprint(whole), fingerprint(run_dir))


def test_batches_that_cannot_be_shared_out_are_refused(tmp_path: Path) -> None:
    out = finish(adamas("train", "debug", "--run-dir", tmp_path / "run", processes=2), code=1)
    assert out.count("adamas: --num-shards is 1, but 2 processes need at least one shard each") == 1
    assert "in run_command" not in out  # no traceback of ours
