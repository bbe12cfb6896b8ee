"""What the folders of runs tell, whether the runs are finished, interrupted or still going."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from adamas.core.config import diff, from_dict, load_config, to_dict
from adamas.core.errors import UserError
from adamas.core.files import read_file
from adamas.envs.config import EnvConfig
from adamas.evaluation.scores import Runs
from adamas.presets.atari import atari100k, game_overrides
from adamas.report.records import Record, read_records
from adamas.training.config import Config

NOT_THE_METHOD = ("seed", "env.game", "checkpoint_minutes", "tensorboard", "wandb_project")
"""Settings in which runs of one method may differ."""


@dataclass(frozen=True)
class RunRecord:
    """A run as its folder has it.

    Attributes:
        folder: where it is.
        config: its configuration, as plain values.
        metrics: the records of ``metrics.jsonl``.
        timing: the records of ``timing.jsonl``.
        scores: its last final score; None if it has not got that far.
        method: which runs it belongs with, filled in by :func:`group`.
    """

    folder: Path
    config: Mapping[str, Any]
    metrics: Sequence[Record]
    timing: Sequence[Record]
    scores: Mapping[str, Any] | None
    method: str = ""

    @property
    def game(self) -> str:
        """The real game."""
        return str(self.config["env"]["game"])

    @property
    def seed(self) -> int:
        """What everything random in it followed from."""
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
        """Time that it has run for."""
        return float(self.timing[-1]["seconds"]) / 3600 if self.timing else 0.0

    def clip(self, name: str) -> bytes | None:
        """A film among its results."""
        path = self.folder / "results" / name
        return path.read_bytes() if path.is_file() else None


def find_runs(folders: Sequence[Path]) -> list[RunRecord]:
    """The runs of games that ``folders`` are or hold, however deep, in order of their names.

    Runs on recordings play no game, and are left out.

    Raises:
        UserError: there are none, or one cannot be read.
    """
    runs = []
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder; give runs, or a folder that holds some")
        found = sorted(path.parents[1] for path in folder.rglob("metrics/metrics.jsonl"))
        if not found:
            raise UserError(f"there is no run in {folder}; start one with: adamas train quickstart")
        games = [run for run in map(read_run, found) if run.config["data"] is None]
        if not games:
            raise UserError(
                f"the runs in {folder} were trained on recordings, and have no scores; see their results folders"
            )
        runs += games
    unique = {run.folder.resolve(): run for run in runs}
    return group(list(unique.values()))


def read_run(folder: Path) -> RunRecord:
    """What the folder of a run tells.

    Raises:
        UserError: a file is missing or damaged.
    """
    try:
        config = to_dict(load_config(folder / "config.yaml", Config))  # what older runs lack gets its default
        # Where older versions were killed, they left a file without content.
        files = sorted((folder / "results").glob("scores*.json"), key=_number)
        scores = [json.loads(content) for content in map(read_file, files) if content]
        for one in scores:
            check_scores(one)
    except OSError as error:
        raise UserError(
            f"cannot read {error.filename}: {error.strerror}; give the folder of a run"
        ) from error
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise UserError(f"{folder} is damaged ({type(error).__name__}: {error}); leave it out") from error
    metrics, timing = (read_records(folder / "metrics" / f"{name}.jsonl") for name in ("metrics", "timing"))
    return RunRecord(folder, config, metrics, timing, scores[-1] if scores else None)


def check_scores(scores: Any) -> None:
    """Check that scores have what a report and a model card show of them; see ``evaluation/results.py``.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: they do not.
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
    parts += [part for part in (scores.get("protocol", {}), scores.get("run", {}))]
    if not all(isinstance(part, Mapping) for part in parts):
        raise TypeError("parts of it are no tables of names and values")


def _number(file: Path) -> int:
    """scores.json is the first, scores-2.json the second."""
    _, _, number = file.stem.partition("-")
    return int(number) if number.isdecimal() else 1


def differences(a: RunRecord, b: RunRecord) -> list[str]:
    """Keys of the configuration in which the methods of two runs differ.

    Between runs of two games, a setting that one of the games needs (:func:`adamas.presets.atari.game_overrides`) is
    no difference if the other run has what other games have.
    """
    usual = {} if a.game == b.game else {**_usual(own_settings(a), b), **_usual(own_settings(b), a)}
    return [key for key in diff(a.config, b.config) if key not in NOT_THE_METHOD and key not in usual]


def _usual(keys: Collection[str], run: RunRecord) -> dict[str, Any]:
    """Those of the settings ``keys`` that are in ``run`` as in the published configuration of other games."""
    published = to_dict(atari100k()) if keys else {}
    return {key: value for key in keys if (value := value_at(run.config, key)) == value_at(published, key)}


def own_settings(run: RunRecord) -> dict[str, Any]:
    """The settings of a run that it has because its game needs them, by dotted key."""
    env = from_dict(EnvConfig, run.config["env"])
    return {key: value for key, value in game_overrides(env).items() if value_at(run.config, key) == value}


def value_at(config: Any, key: str) -> Any:
    """What a configuration, as plain values, has under a dotted key."""
    return functools.reduce(lambda part, name: part[name], key.split("."), config)


def group(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """The runs, each with its method: runs of one configuration, seed and game aside, share it.

    Methods are called after the folder that holds their first run.
    """
    members: dict[str, dict[str, RunRecord]] = {}  # of each method, the first run of each game
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
    """The first run of every method, by method, in order."""
    firsts: dict[str, RunRecord] = {}
    for run in runs:
        firsts.setdefault(run.method, run)
    return firsts


def scores_of(runs: Sequence[RunRecord], method: str) -> Runs:
    """Final scores (R,) of a method's runs, by game."""
    finished = [run for run in runs if run.method == method and run.score is not None]
    games = dict.fromkeys(run.game for run in finished)
    return {game: np.array([run.score for run in finished if run.game == game]) for game in games}
