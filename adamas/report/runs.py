"""Read the folders of runs, whether the runs are finished, interrupted or still going, and group them by method."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from adamas.core.config import ABSENT, diff, load_config, to_dict
from adamas.core.errors import UserError
from adamas.core.files import read_file
from adamas.data.locations import place_name
from adamas.evaluation.result_file import newest_file, parse_evaluation
from adamas.evaluation.results import Evaluation
from adamas.evaluation.scores import Runs
from adamas.presets.atari import atari100k, game_overrides
from adamas.report.records import Record, read_records
from adamas.training.config import Config

NOT_THE_METHOD = ("seed", "env.game", "data", "checkpoint_minutes", "tensorboard", "wandb_project")
"""Settings in which two runs of one method may differ."""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A run, as read from its folder.

    Attributes:
        folder: the run's folder.
        config: its configuration.
        metrics: the records of ``metrics.jsonl``.
        timing: the records of ``timing.jsonl``.
        final: the newest evaluation of the final agent; None if the run has none.
        method: name that all runs of one configuration share, filled in by :func:`group`.
    """

    folder: Path
    config: Config
    metrics: Sequence[Record]
    timing: Sequence[Record]
    final: Evaluation | None
    method: str = ""

    @property
    def on_recordings(self) -> bool:
        """Whether the run learnt from recordings instead of a game. It then has no policy and no score."""
        return self.config.data is not None

    @property
    def game(self) -> str:
        """Name of the real game, or of the recordings."""
        if (game := self.config.game_parts) is None:
            return f"recordings {place_name(str(self.config.data))}"
        return game.env.game

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return self.config.seed

    @functools.cached_property
    def settings(self) -> Mapping[str, Any]:
        """The configuration as plain values, see :func:`~adamas.core.config.to_dict`."""
        return to_dict(self.config)

    @property
    def score(self) -> float | None:
        """Mean return of the final agent's episodes."""
        return None if self.final is None else self.final.agent.mean

    @property
    def real_steps(self) -> int:
        """Steps of the real game so far."""
        counts = (r.values["real_steps"] for r in reversed(self.metrics) if "real_steps" in r.values)
        return int(next(counts, 0))

    @property
    def hours(self) -> float:
        """Hours of training so far."""
        return self.timing[-1].values["seconds"] / 3600 if self.timing else 0.0

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
        config = load_config(folder / "config.yaml", Config)
        newest = newest_file(folder / "results")
        final = None if newest is None else parse_evaluation(read_file(newest))
    except OSError as error:
        raise UserError(
            f"cannot read {error.filename}: {error.strerror}; give the folder of a run"
        ) from error
    except (ValueError, OverflowError, RecursionError) as error:
        raise UserError(f"{folder} is damaged ({type(error).__name__}: {error}); leave it out") from error
    metrics, timing = (read_records(folder / "metrics" / f"{name}.jsonl") for name in ("metrics", "timing"))
    return RunRecord(folder=folder, config=config, metrics=metrics, timing=timing, final=final)


def differences(a: RunRecord, b: RunRecord) -> list[str]:
    """Return the keys of the configuration in which the methods of two runs differ.

    Between runs of two games, a setting that one of the games needs (:func:`adamas.presets.atari.game_overrides`) is
    no difference if the other run has the usual value. Between runs on recordings, the recorded game is no difference.
    """
    keys = [key for key in diff(a.settings, b.settings) if key not in NOT_THE_METHOD]
    if a.on_recordings != b.on_recordings:
        return ["data", *keys]
    if a.on_recordings:
        return [key for key in keys if key.split(".")[0] != "env"]
    usual = {} if a.game == b.game else {**_usual(own_settings(a), b), **_usual(own_settings(b), a)}
    return [key for key in keys if key not in usual]


def _usual(keys: Collection[str], run: RunRecord) -> dict[str, Any]:
    """Return those of the settings ``keys`` for which ``run`` has the value of the published configuration."""
    published = to_dict(atari100k()) if keys else {}
    return {key: value for key in keys if (value := value_at(run.settings, key)) == value_at(published, key)}


def own_settings(run: RunRecord) -> dict[str, Any]:
    """Return the settings that a run has because its game needs them, by dotted key."""
    if (game := run.config.game_parts) is None:
        return {}
    own = game_overrides(game.env)
    return {key: value for key, value in own.items() if value_at(run.settings, key) == value}


def value_at(settings: Mapping[str, Any], key: str) -> Any:
    """Return the value under a dotted key of a configuration of plain values; ABSENT if it has no such key."""
    value: Any = settings
    for name in key.split("."):
        value = value.get(name, ABSENT) if isinstance(value, Mapping) else ABSENT
    return value


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
