"""The runs of a suite. Each is a folder, and a process that starts it or goes on with it until it is scored."""

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

RETRIES = 2  # of a run whose process was killed: it goes on from its checkpoint


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        preset: its configuration.
        game: the real game.
        seed: of the run.
        run_dir: its folder.
        options: more options of ``adamas train``, the same for all.
    """

    preset: str
    game: str
    seed: int
    run_dir: Path
    options: tuple[str, ...] = ()

    @property
    def log(self) -> Path:
        """What its processes print."""
        return self.run_dir.with_name(f"{self.run_dir.name}.log")

    @property
    def finished(self) -> bool:
        """Whether its agent was scored after the last epoch."""
        return (self.run_dir / "results" / "scores.json").is_file()

    @property
    def begun(self) -> bool:
        """Whether there is something to go on with."""
        return (self.run_dir / "config.yaml").is_file()

    def arguments(self) -> list[str]:
        """Of the command line: what starts it, or goes on with it."""
        if self.begun:
            return ["train", "--resume", str(self.run_dir), "--env.game", self.game, "--quiet"]
        what = ["--env.game", self.game, "--seed", str(self.seed), "--run-dir", str(self.run_dir)]
        return ["train", self.preset, *what, *self.options, "--quiet"]

    def run(self, stop: threading.Event) -> str:
        """Start it or go on with it in a process of its own, to its end; over again if that process is killed.

        Args:
            stop: makes it save itself and end early.

        Returns:
            "" if it is finished or was stopped, or else what its last process said.
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
            if code >= 0:  # not killed: the same would happen again
                break
        return "" if self.finished else self._last_words(code)

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "adamas", *self.arguments()]
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            log.write(f"$ {shlex.join(command)}\n".encode())
            log.flush()
            # In a session of its own: Ctrl-C reaches the suite alone, which passes it on once.
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
    """All games with the first seed, then with the next: a suite that is stopped early has seen every game.

    Raises:
        UserError: something occurs twice.
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
    """Seeds written as ``0-4``, ``7`` or ``0,3,5-6``.

    Raises:
        UserError: anything else.
    """
    parts = [re.fullmatch(r"(\d+)(?:-(\d+))?", part) for part in text.split(",")]
    ranges = [range(int(part[1]), int(part[2] or part[1]) + 1) for part in parts if part]
    if None in parts or not all(ranges):
        raise UserError(f"seeds are written like 0-4 or 0,2,5, got {text!r}")
    return [seed for several in ranges for seed in several]
