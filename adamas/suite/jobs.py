"""The runs of a suite. Each has a folder, and a process that starts or resumes it until its agent is scored."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from adamas.core.errors import UserError
from adamas.evaluation.result_file import newest_file

RETRIES = 2  # how often a run is resumed from its checkpoint after its process was killed


@dataclass(frozen=True)
class Job:
    """One run of a suite.

    Attributes:
        preset: name of its preset.
        game: the game to train on.
        seed: the seed of the run.
        run_dir: the folder of the run.
        options: more options of ``adamas train``, the same for all runs.
    """

    preset: str
    game: str
    seed: int
    run_dir: Path
    options: tuple[str, ...] = ()

    @property
    def log(self) -> Path:
        """The file with the output of its processes."""
        return self.run_dir.with_name(f"{self.run_dir.name}.log")

    @property
    def finished(self) -> bool:
        """Whether its agent has been scored after the last epoch, or its dream filmed if it learnt from recordings."""
        results = self.run_dir / "results"
        # After the scores, the runs of games film their dream as well.
        return newest_file(results) is not None or (results / "dream.gif").is_file()

    @property
    def begun(self) -> bool:
        """Whether the run was started and can be resumed."""
        return (self.run_dir / "config.yaml").is_file()

    def arguments(self) -> list[str]:
        """The command-line arguments that start or resume the run."""
        if self.begun:
            return ["train", "--resume", str(self.run_dir), "--env.game", self.game, "--quiet"]
        what = ["--env.game", self.game, "--seed", str(self.seed), "--run-dir", str(self.run_dir)]
        return ["train", self.preset, *what, *self.options, "--quiet"]

    def run(self, stop: threading.Event) -> str:
        """Start or resume the run in a process of its own, and wait for its end. A killed process is restarted.

        Args:
            stop: event that makes the run save a checkpoint and end early.

        Returns:
            "" if the run is finished or was stopped, otherwise the error of its last process.
        """
        code = 0
        for _ in range(1 + RETRIES):
            process = self._start()
            while process.poll() is None:
                if stop.wait(0.2):
                    process.terminate()
                    process.wait()
                    return ""
            code = process.returncode
            if code >= 0:  # it was not killed, so a restart would fail in the same way
                break
        return "" if self.finished else self._last_words(code)

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "adamas", *self.arguments()]
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            log.write(f"$ {shlex.join(command)}\n".encode())
            log.flush()
            # In a new session, so that Ctrl-C reaches only the suite, which passes it on once.
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _last_words(self, code: int) -> str:
        if code < 0:
            return f"killed by {signal.Signals(-code).name} {1 + RETRIES} times"
        return (
            self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-1].removeprefix("adamas: ")
        )


def make_jobs(
    preset: str, games: Sequence[str], seeds: Sequence[int], folder: Path, options: Sequence[str] = ()
) -> list[Job]:
    """Make a job for every game and seed, ordered by seed, so that a suite that is stopped early has every game.

    Raises:
        UserError: if a game or a seed occurs twice.
    """
    for what, values in (("game", games), ("seed", seeds)):
        if len(set(values)) < len(values):
            raise UserError(f"a {what} occurs twice in {', '.join(map(str, values))}")
    return [
        Job(preset, game, seed, folder / f"{game.replace('/', '-').lower()}-seed-{seed}", tuple(options))
        for seed in seeds
        for game in games
    ]


def parse_seeds(text: str) -> list[int]:
    """Parse seeds in the notation ``0-4``, ``7`` or ``0,3,5-6``.

    Raises:
        UserError: if ``text`` is in another notation.
    """
    parts = [re.fullmatch(r"(\d+)(?:-(\d+))?", part) for part in text.split(",")]
    ranges = [range(int(part[1]), int(part[2] or part[1]) + 1) for part in parts if part]
    if None in parts or not all(ranges):
        raise UserError(f"`seeds` is {text!r}; write seeds like 0-4 or 0,2,5")
    return [seed for several in ranges for seed in several]
