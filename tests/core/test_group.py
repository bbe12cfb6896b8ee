"""Processes of a group that end or stop are named, and nobody waits for them for days."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

from adamas.core.distributed import RANK_0_TIMEOUT, UPDATE_TIMEOUT, Group

PROGRAM = """
import os, signal, sys
from datetime import timedelta
import torch
from adamas.core import distributed
from adamas.core.process import run_command

def work():
    group = distributed.Group.join()
    a, b = torch.full((2, 2), group.rank + 1.0), torch.tensor(10.0 * group.rank)
    group.all_reduce([a, b])
    assert a.tolist() == [[SUM, SUM], [SUM, SUM]] and b == 10 * (SUM - group.size), (a, b)
    assert group.broadcast("x" if group.rank == 0 else None) == "x"
    assert group.gather(group.rank) == ([*range(group.size)] if group.rank == 0 else [])
    distributed.UPDATE_TIMEOUT = timedelta(seconds=1)
    STEPS

run_command(work)
"""


def start(size: int, steps: str) -> list[subprocess.Popen[str]]:
    """``size`` processes that meet, then do ``steps``."""
    program = PROGRAM.replace("SUM", str(float(sum(range(1, size + 1))))).replace("STEPS", steps)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    env = os.environ | {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env=env | {"RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]


def ends(process: subprocess.Popen[str]) -> tuple[int, str]:
    """A process's exit code, and its last line."""
    _, err = process.communicate(timeout=60)
    return process.returncode, err.strip().rpartition("\n")[2]


def test_a_process_that_is_killed_and_one_that_hangs_are_named() -> None:
    number = "{1: signal.SIGKILL, 2: signal.SIGSTOP}"
    group = start(3, f"group.rank and os.kill(os.getpid(), {number}[group.rank]); group.barrier()")
    code, line = ends(group[0])
    assert code == 2
    host = socket.gethostname()
    assert line == (
        f"adamas: process 0 of 3 cannot go on alone: rank 1 on {host} and rank 2 on {host} ended, or did not respond "
        "within 0.0166667 minutes; start all processes again to resume the run"
    )
    group[2].kill()
    assert [process.wait() for process in group[1:]] == [-signal.SIGKILL] * 2
    for process in group[1:]:
        process.communicate()


def test_those_who_wait_for_rank_0_hear_of_its_end() -> None:
    group = start(2, "group.rank or os.kill(os.getpid(), signal.SIGKILL); group.broadcast()")
    code, line = ends(group[1])
    assert code == 2
    assert line.startswith("adamas: process 1 of 2 cannot go on alone: rank 0 on ")
    assert ends(group[0])[0] == -signal.SIGKILL


def test_sums_wait_for_minutes_and_orders_for_rank_0_to_have_played() -> None:
    assert 60 <= UPDATE_TIMEOUT.total_seconds() <= 3600
    assert RANK_0_TIMEOUT.total_seconds() >= 24 * 3600


def test_nothing_is_sent_once_a_process_is_lost() -> None:
    group = Group(0, 2)
    group.lost = True
    assert group.broadcast(None) is None  # what closing a run sends
