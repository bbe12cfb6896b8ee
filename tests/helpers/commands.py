"""Commands in processes of their own, and runs that are short."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from adamas import cli
from tests.helpers.processes import command

SHORT = ["--env.suite", "minatar", "--env.game", "breakout", "--env.size", "10", "--quiet"]
ONE_EPOCH = [*SHORT, "--collection.total-steps", "120"]
NO_EPOCH = [*SHORT, "--collection.total-steps", "80"]


def adamas(*arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
    """Start the command line in a process of its own."""
    return subprocess.Popen(
        command(*arguments),
        env=os.environ | {"PYTHONPATH": str(Path(cli.__file__).parents[1]), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def output(process: subprocess.Popen[str]) -> tuple[str, list[str]]:
    """What a process printed, and the lines of its complaint."""
    try:
        out, err = process.communicate(timeout=300)
    finally:
        process.kill()  # where it did not end by itself
    return out, err.splitlines()
