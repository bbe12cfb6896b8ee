"""Read the folders of runs, whether the runs are finished, interrupted or still going, and group them by method."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from adamas.core.config import diff, load_config, to_dict
from adamas.core.errors import UserError
from adamas.core.files import read_file
from adamas.envs.config import read_env
from adamas.evaluation.scores import Runs
from adamas.presets.atari import atari100k, game_overrides
from adamas.report.records import Record, read_records
from adamas.training.config import Config

NOT_THE_METHOD = ("seed", "env.game", "data", "checkpoint_minutes", "tensorboard", "wandb_project")
"""Settings in which two runs of one method may differ."""


@dataclass(frozen=True)
class RunRecord:
    """A run, as read from its folder.

    Attributes:
        folder: the run's folder.
        config: its configuration, as plain values.
        metrics: the records of ``metrics.jsonl``.
        timing: the records of ``timing.jsonl``.
        scores: the newest final score; None if the run has none.
        method: name that all runs of one configuration share, filled in by :func:`group`.
    """

    folder: Path
    config: Mapping[str, Any]
    metrics: Sequence[Record]
    timing: Sequence[Record]
    scores: Mapping[str, Any] | None
    method: str = ""

    @property
    def on_recordings(self) -> bool:
        """Whether the run learnt from recordings instead of a game. It then has no policy and no score."""
        return self.config["data"] is not None

    @property
    def game(self) -> str:
        """Name of the real game, or of the recordings."""
        if self.on_recordings:
            return f"recordings {str(self.config['data']).rstrip('/').rpartition('/')[2]}"
        return str(self.config["env"]["game"])

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return int(self.config["seed"])

    @property
    def score(self) -> float | None:
        """Mean return of the final agent's episodes."""
        return None if self.scores is None else float(self.scores["agent"]["mean"])

    @property
    def real_steps(self) -> int:
        """Steps of the real game so far."""
        return int(next((r["real_steps"] for r in reversed(self.metrics) if "real_steps" in r), 0))

    @property
    def hours(self) -> float:
        """Hours of training so far."""
        return float(self.timing[-1]["seconds"]) / 3600 if self.timing else 0.0

    def clip(self, name: str) -> bytes | None:
        """Content of a film in the run's results; None if there is no such film."""
        path = self.folder / "results" / name
        return path.read_bytes() if path.is_file() else None


def find_runs(folders: Sequence[Path]) -> list[RunRecord]:
    """Read all runs in ``folders`` and in the folders below them, in order of their names.

    Raises:
        UserError: a folder holds no run, or a run cannot be read.
    """
    runs: list[RunRecord] = []
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder; give runs, or a folder that holds some")
        found = sorted(path.parents[1] for path in folder.rglob("metrics/metrics.jsonl"))
        if not found:
            raise UserError(f"there is no run in {folder}; start one with: adamas train quickstart")
        runs += map(read_run, found)
    unique = {run.folder.resolve(): run for run in runs}
    return group(list(unique.values()))


def read_run(folder: Path) -> RunRecord:
    """Read the folder of a run.

    Raises:
        UserError: a file is missing or damaged.
    """
    try:
        config = to_dict(
            load_config(folder / "config.yaml", Config)
        )  # fields that older runs lack get their defaults
        # An older version that was killed may have left an empty file.
        files = sorted((folder / "results").glob("scores*.json"), key=_number)
        scores = [json.loads(content) for content in map(read_file, files) if content]
        for content in scores:
            check_scores(content)
    except OSError as error:
        raise UserError(
            f"cannot read {error.filename}: {error.strerror}; give the folder of a run"
        ) from error
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise UserError(f"{folder} is damaged ({type(error).__name__}: {error}); leave it out") from error
    metrics, timing = (read_records(folder / "metrics" / f"{name}.jsonl") for name in ("metrics", "timing"))
    return RunRecord(folder, config, metrics, timing, scores[-1] if scores else None)


def check_scores(scores: Any) -> None:
    """Check that scores have the entries that a report and a model card show; see ``evaluation/results.py``.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: an entry is missing, or has the wrong type.
    """
    for name in ("agent", "random_policy"):
        low, high = scores[name]["mean_interval_95"]
        for value in (scores[name]["mean"], low, high, *scores[name]["returns"]):
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError(f"{name} has the score {str(value)[:40]!r}")
        if not scores[name]["returns"]:
            raise ValueError(f"{name} has no episodes")
    provenance = scores["provenance"]
    parts = [provenance, provenance.get("packages", {}), provenance.get("git", {})]
    parts += [scores.get("protocol", {}), scores.get("run", {})]
    if not all(isinstance(part, Mapping) for part in parts):
        raise TypeError("parts of it are no tables of names and values")


def _number(file: Path) -> int:
    """Return 1 for scores.json, 2 for scores-2.json, and so on."""
    _, _, number = file.stem.partition("-")
    return int(number) if number.isdecimal() else 1


def differences(a: RunRecord, b: RunRecord) -> list[str]:
    """Return the keys of the configuration in which the methods of two runs differ.

    Between runs of two games, a setting that one of the games needs (:func:`adamas.presets.atari.game_overrides`) is
    no difference if the other run has the usual value. Between runs on recordings, the recorded game is no difference.
    """
    usual = {} if a.game == b.game else {**_usual(own_settings(a), b), **_usual(own_settings(b), a)}
    keys = [key for key in diff(a.config, b.config) if key not in NOT_THE_METHOD and key not in usual]
    if a.on_recordings and b.on_recordings:
        return [key for key in keys if not key.startswith("env.")]
    return keys if a.on_recordings == b.on_recordings else ["data", *keys]


def _usual(keys: Collection[str], run: RunRecord) -> dict[str, Any]:
    """Return those of the settings ``keys`` for which ``run`` has the value of the published configuration."""
    published = to_dict(atari100k()) if keys else {}
    return {key: value for key in keys if (value := value_at(run.config, key)) == value_at(published, key)}


def own_settings(run: RunRecord) -> dict[str, Any]:
    """Return the settings that a run has because its game needs them, by dotted key."""
    if run.on_recordings:
        return {}
    env = read_env(run.config["env"])
    return {key: value for key, value in game_overrides(env).items() if value_at(run.config, key) == value}


def value_at(config: Any, key: str) -> Any:
    """Return the value under a dotted key of a configuration of plain values."""
    return functools.reduce(lambda part, name: part[name], key.split("."), config)


def group(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """Fill in the method of every run: runs whose configurations differ in seed and game alone share a method.

    A method is named after the folder that contains its first run.
    """
    members: dict[str, dict[str, RunRecord]] = {}  # method -> game -> the first run of both
    grouped = []
    for run in runs:
        method = next(
            (name for name, games in members.items() if not any(differences(r, run) for r in games.values())),
            None,
        )
        if method is None:
            base = run.folder.resolve().parent.name or run.folder.name
            number = sum(name == base or name.startswith(f"{base} (") for name in members)
            method = base if number == 0 else f"{base} ({number + 1})"
        members.setdefault(method, {}).setdefault(run.game, run)
        grouped.append(replace(run, method=method))
    return grouped


def first_of_each(runs: Sequence[RunRecord]) -> dict[str, RunRecord]:
    """Return the first run of every method, by method, in order."""
    firsts: dict[str, RunRecord] = {}
    for run in runs:
        firsts.setdefault(run.method, run)
    return firsts


def scores_of(runs: Sequence[RunRecord], method: str) -> Runs:
    """Return the final scores (R,) of a method's finished runs, by game."""
    finished = [run for run in runs if run.method == method and run.score is not None]
    games = dict.fromkeys(run.game for run in finished)
    return {game: np.array([run.score for run in finished if run.game == game]) for game in games}
