"""SIGKILL at random moments, over and over: the run ends as if nothing had happened.

One process imports everything, then forks a child for each life of the run and kills it.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from adamas.core.config import with_value
from adamas.envs.make import make_env
from adamas.presets import preset
from adamas.training.build import new_run, resume_run
from adamas.training.config import Config
from tests.helpers.game_parts import game_of
from tests.helpers.tiny_config import differing, fingerprint, tiny_config, tiny_iris

SEED = 20
LIMIT = 120  # seconds that one life may take before something must be wrong


def config_of(name: str) -> Config:
    """A run of 24 units of work or so on MinAtar, in two shards; or of 12 on Atari, where resets are slow."""
    if name in ("minatar", "tokens"):
        return replace(tiny_config() if name == "minatar" else tiny_iris(), num_shards=2)
    config = with_value(preset("debug"), "collection.total_steps", 120)
    return replace(
        config,
        evaluation=replace(config.evaluation, every_epochs=2),
        tensorboard=False,
    )


def live(config: Config, run_dir: Path) -> None:
    """One life: start or go on, until the end or the kill."""
    begun = any(run_dir.glob("checkpoints/step-*[0-9]"))
    trainer = resume_run(run_dir, quiet=True) if begun else new_run(config, run_dir, quiet=True)
    trainer.run()
    trainer.close()


def latest(run_dir: Path) -> str:
    path = run_dir / "checkpoints" / "latest"
    return path.read_text() if path.exists() else ""


def wait_for_moment(pid: int, run_dir: Path, rng: random.Random) -> str | None:
    """Return in the middle of a child's life: what it was about to do; None if it has ended.

    A third of the moments lie before its first save, a third in the middle of saving, a third anywhere.
    """
    kind = rng.choice(["starting", "saving", "anywhere"])
    saves, since, deadline = rng.choice([0, 1, 1, 2]), latest(run_dir), time.monotonic() + LIMIT
    if kind == "starting":
        time.sleep(rng.uniform(0, 0.3))
        saves = 0
    while True:
        assert time.monotonic() < deadline
        if os.waitpid(pid, os.WNOHANG)[0]:
            return None
        if saves and latest(run_dir) != since:
            saves, since = saves - 1, latest(run_dir)
        elif not saves and kind != "saving":
            time.sleep(rng.uniform(0, 0.1) if kind == "anywhere" else 0)
            return kind
        elif not saves and any(run_dir.glob("checkpoints/*.tmp")):
            time.sleep(rng.uniform(0, 0.005))
            return kind
        time.sleep(0.0005)


def fork(config: Config, run_dir: Path) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            live(config, run_dir)
            code = 0
        finally:
            os._exit(code)
    return pid


def main(name: str, num_kills: int, folder: Path) -> None:
    """Kill a run ``num_kills`` times, let it end, and compare it with one that lived in peace."""
    config, rng, run_dir = config_of(name), random.Random(SEED), folder / "killed"
    always_saving = replace(config, checkpoint_minutes=0.0)  # after every unit of work
    make_env(game_of(config).env, 1, 0, training=True).close()  # both import what is slow to import
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)]).step()
    kills = halves = 0
    while kills < num_kills:
        pid = fork(always_saving, run_dir)
        kind = wait_for_moment(pid, run_dir, rng)
        assert kind is not None, f"the run ended, rightly or not, after only {kills} kills"
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        assert os.WIFSIGNALED(status), f"a child ended by itself with status {status}"
        kills += 1
        half = any(run_dir.glob("checkpoints/*.tmp"))
        halves += half
        saved = latest(run_dir).strip() or "nothing saved"
        print(f"kill {kills} while {kind}: {saved}{', a checkpoint half written' if half else ''}")
    for target in (run_dir, folder / "whole"):
        _, status = os.waitpid(fork(config, target), 0)
        assert status == 0
    assert halves or num_kills < 10, "no kill hit a save"
    wrong = differing(fingerprint(folder / "whole"), fingerprint(run_dir))
    assert not wrong, wrong
    print(f"seed {SEED}: {kills} kills, {halves} of them with a checkpoint half written")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(("name", "num_kills"), [("minatar", 22), ("tokens", 5), ("atari", 3)])
def test_killed_again_and_again(name: str, num_kills: int, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, __file__, name, str(num_kills), tmp_path],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{num_kills} kills" in done.stdout


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
