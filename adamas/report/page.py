"""The report's page: scores, curves and films of runs in one HTML file that loads no other file."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from adamas.core.errors import require
from adamas.evaluation.scores import Runs, aggregates, normalise, published_method, references, superhuman
from adamas.report import figures
from adamas.report.records import evaluations
from adamas.report.runs import RunRecord, differences, first_of_each, own_settings, scores_of, value_at

FOLDER = Path(__file__).parent

CAPTIONS = {
    "agent.gif": "the agent in the game, and in its own dream",
    "dream.gif": "held-out frames, and the dream that continues their start under the same actions",
}
"""Films in a run's results folder, and what they show."""


class Clip(NamedTuple):
    """A film as a data URL, with the run that it belongs to."""

    run: str
    caption: str
    url: str


def render(runs: Sequence[RunRecord], against: Sequence[str]) -> str:
    """Return the page as HTML.

    Args:
        runs: one or more runs.
        against: published methods to show beside them. They are shown on the games of the runs only.

    Raises:
        UserError: an unknown method, or the extra ``report`` is not installed.
    """
    try:
        from jinja2 import Environment, FileSystemLoader
    except ImportError as error:
        raise require("jinja2", "report") from error
    environment = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html.jinja").render(_content(runs, against))


def _content(runs: Sequence[RunRecord], against: Sequence[str]) -> dict[str, Any]:
    methods = list(dict.fromkeys(run.method for run in runs))
    colour = figures.colours([*methods, *against])
    games = list(dict.fromkeys(run.game for run in runs))
    scores = {method: found for method in methods if (found := scores_of(runs, method))}
    normalised = {method: found for method, runs_of in scores.items() if (found := normalise(runs_of))}
    shared = _shared_games(normalised)
    compared = {method: _only(runs_of, shared) for method, runs_of in normalised.items()} if shared else {}
    if compared:
        compared |= {method: _only(normalise(published_method(method)), shared) for method in against}
    others = {game for runs_of in scores.values() for game in runs_of if game not in references()}
    raw = {method: _only(runs_of, others) for method, runs_of in scores.items()}
    return {
        "time": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "runs": runs,
        "methods": methods,
        "colour": colour,
        "against": against,
        "shared": [game for game in references() if game in shared],
        "normalised_games": [game for game in games if game in references()],
        "table": aggregate_table(compared),
        "intervals": figures.to_svg(figures.intervals(compared, colour)) if compared else None,
        "profiles": figures.to_svg(figures.profiles(compared, colour)) if len(shared) > 1 else None,
        "bars": _bars(normalised, {m: r for m, r in raw.items() if r}, against, colour),
        "games": [_game(game, [run for run in runs if run.game == game], colour) for game in games],
        "differences": config_differences(runs),
        "game_settings": game_settings(runs),
        "hardware": [_hardware(run) for run in runs],
    }


def _shared_games(methods: Mapping[str, Runs]) -> set[str]:
    """Return the games in which every method has scores. Aggregates over other games could not be compared."""
    return set.intersection(*(set(runs) for runs in methods.values())) if methods else set()


def _only(runs: Runs, games: set[str]) -> Runs:
    return {game: scores for game, scores in runs.items() if game in games}


def aggregate_table(methods: Mapping[str, Runs]) -> list[dict[str, Any]]:
    """Return a row for every method, with the statistics of its human-normalised scores."""
    return [
        {
            "method": method,
            "num_runs": sum(len(scores) for scores in runs.values()),
            "estimates": aggregates(runs),
            "superhuman": superhuman(runs),
        }
        for method, runs in methods.items()
    ]


def _bars(
    normalised: Mapping[str, Runs], raw: Mapping[str, Runs], against: Sequence[str], colour: Mapping[str, str]
) -> list[str]:
    """Draw scores by game: human-normalised in games with a reference score, and returns in all others."""
    drawn = []
    if normalised:
        games = {game for runs in normalised.values() for game in runs}
        beside = {method: _only(normalise(published_method(method)), games) for method in against}
        drawn.append(figures.bars({**normalised, **beside}, colour, "human-normalised score"))
    if raw:
        drawn.append(figures.bars(raw, colour, "return of an episode"))
    return [figures.to_svg(figure) for figure in drawn]


def _game(game: str, runs: Sequence[RunRecord], colour: Mapping[str, str]) -> dict[str, Any]:
    """Collect what the page shows of one game's runs."""
    # The films of one run of each method, since those of all runs would make the page large.
    filmed = first_of_each([run for run in runs if any(run.clip(name) for name in CAPTIONS)]).values()
    clips = [
        Clip(f"{run.method}, seed {run.seed}", caption, "data:image/gif;base64," + b64encode(data).decode())
        for run in filmed
        for name, caption in CAPTIONS.items()
        if (data := run.clip(name)) is not None
    ]
    evaluated = any(run.scores or len(evaluations(list(run.metrics), [])[0]) for run in runs)
    panels = figures.recorded_panels(runs)
    return {
        "name": game,
        "on_recordings": runs[0].on_recordings,
        "curves": figures.to_svg(figures.learning_curves(runs, colour)) if evaluated else None,
        "panels": panels,
        "world_models": figures.to_svg(figures.world_models(runs, panels, colour)) if panels else None,
        "clips": clips,
    }


def config_differences(runs: Sequence[RunRecord]) -> list[tuple[str, list[str]]]:
    """Return the name of every setting in which methods differ, with its value in each method."""
    firsts = list(first_of_each(runs).values())
    keys = dict.fromkeys(key for run in firsts[1:] for key in differences(firsts[0], run))
    return [(key, [_value(run.config, key) for run in firsts]) for key in keys]


def game_settings(runs: Sequence[RunRecord]) -> list[tuple[str, str, str]]:
    """Return the settings that runs have because their game needs them: game, name of the setting, value."""
    rows = [(run.game, key, json.dumps(value)) for run in runs for key, value in own_settings(run).items()]
    return list(dict.fromkeys(rows))


def _value(config: Any, key: str) -> str:
    return json.dumps(value_at(config, key))


def _hardware(run: RunRecord) -> dict[str, Any]:
    where = {} if run.scores is None else run.scores["provenance"]
    return {
        "run": run.folder,
        "cpu": where.get("cpu"),
        "cores": where.get("cores"),
        "gpu": where.get("gpu"),
        "torch": where.get("packages", {}).get("torch"),
        "commit": str(where.get("git", {}).get("commit", ""))[:10],
        "changed": where.get("git", {}).get("dirty"),
    }
