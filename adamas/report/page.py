"""The report's page: scores, curves and films of runs in one HTML file that loads no other file."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from adamas.core.config import ABSENT
from adamas.core.errors import not_installed
from adamas.evaluation.scores import (
    Estimate,
    Runs,
    aggregates,
    count_superhuman,
    normalise,
    published_method,
    references,
)
from adamas.report import figures
from adamas.report.figures import Panel
from adamas.report.records import evaluations
from adamas.report.runs import RunRecord, differences, first_of_each, own_settings, scores_of, value_at

FOLDER = Path(__file__).parent

CAPTIONS = {
    "agent.gif": "the agent in the game, and in its own dream",
    "dream.gif": "held-out frames, and the dream that continues their start under the same actions",
}
"""Films in a run's results folder, and what they show."""


@dataclass(frozen=True)
class Clip:
    """A film as a data URL, with the run that it belongs to."""

    run: str
    caption: str
    url: str


@dataclass(frozen=True, kw_only=True)
class AggregateRow:
    """A row of the table of aggregates.

    Attributes:
        method: name of the method.
        num_runs: number of its runs.
        estimates: statistics of its human-normalised scores, by name.
        superhuman: number of games in which its mean score is at least that of a human.
    """

    method: str
    num_runs: int
    estimates: Mapping[str, Estimate]
    superhuman: int


@dataclass(frozen=True, kw_only=True)
class GameSection:
    """What the page shows of one game.

    Attributes:
        name: name of the game.
        on_recordings: whether its runs learnt from recordings.
        curves: figure of the returns, as SVG; None if nothing was evaluated.
        panels: the metrics of world models that were recorded.
        world_models: figure of these metrics, as SVG; None if there are none.
        clips: films of its runs.
    """

    name: str
    on_recordings: bool
    curves: str | None
    panels: Sequence[Panel]
    world_models: str | None
    clips: Sequence[Clip]


@dataclass(frozen=True, kw_only=True)
class HardwareRow:
    """Where a run was scored: its folder, the machine and the code. None stands for what is not known."""

    run: Path
    cpu: str | None = None
    cores: int | None = None
    gpu: str | None = None
    torch: str | None = None
    commit: str | None = None
    changed: bool | None = None


@dataclass(frozen=True, kw_only=True)
class PageContent:
    """What the template shows.

    Attributes:
        time: when the page was made.
        runs: all runs.
        methods: names of their methods.
        colour: colour of each method.
        against: published methods beside them.
        shared: games that the aggregates cover.
        normalised_games: games of the runs that have human-normalised scores.
        table: aggregates of each method; empty if methods have no game in common.
        intervals: figure of the aggregates, as SVG; None if there are none.
        profiles: figure of performance profiles, as SVG; None if fewer than two games are shared.
        bars: figures of the scores by game, as SVG.
        games: the games.
        differences: settings in which methods differ, with the value in each method.
        game_settings: settings of single games: game, setting, value.
        hardware: where each run was scored.
    """

    time: str
    runs: Sequence[RunRecord]
    methods: Sequence[str]
    colour: Mapping[str, str]
    against: Sequence[str]
    shared: Sequence[str]
    normalised_games: Sequence[str]
    table: Sequence[AggregateRow]
    intervals: str | None
    profiles: str | None
    bars: Sequence[str]
    games: Sequence[GameSection]
    differences: Sequence[tuple[str, list[str]]]
    game_settings: Sequence[tuple[str, str, str]]
    hardware: Sequence[HardwareRow]


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
        raise not_installed("jinja2", "report") from error
    environment = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html.jinja").render(vars(_content(runs, against)))


def _content(runs: Sequence[RunRecord], against: Sequence[str]) -> PageContent:
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
    return PageContent(
        time=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        runs=runs,
        methods=methods,
        colour=colour,
        against=against,
        shared=[game for game in references() if game in shared],
        normalised_games=[game for game in games if game in references()],
        table=aggregate_table(compared),
        intervals=figures.to_svg(figures.intervals(compared, colour)) if compared else None,
        profiles=figures.to_svg(figures.profiles(compared, colour)) if len(shared) > 1 else None,
        bars=_bars(normalised, {m: r for m, r in raw.items() if r}, against, colour),
        games=[_game(game, [run for run in runs if run.game == game], colour) for game in games],
        differences=config_differences(runs),
        game_settings=game_settings(runs),
        hardware=[_hardware(run) for run in runs],
    )


def _shared_games(methods: Mapping[str, Runs]) -> set[str]:
    """Return the games in which every method has scores. Aggregates over other games could not be compared."""
    return set.intersection(*(set(runs) for runs in methods.values())) if methods else set()


def _only(runs: Runs, games: set[str]) -> Runs:
    return {game: scores for game, scores in runs.items() if game in games}


def aggregate_table(methods: Mapping[str, Runs]) -> list[AggregateRow]:
    """Return a row for every method, with the statistics of its human-normalised scores."""
    return [
        AggregateRow(
            method=method,
            num_runs=sum(len(scores) for scores in runs.values()),
            estimates=aggregates(runs),
            superhuman=count_superhuman(runs),
        )
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


def _game(game: str, runs: Sequence[RunRecord], colour: Mapping[str, str]) -> GameSection:
    """Collect what the page shows of one game's runs."""
    # The films of one run of each method, since those of all runs would make the page large.
    filmed = first_of_each([run for run in runs if any(run.clip(name) for name in CAPTIONS)]).values()
    clips = [
        Clip(f"{run.method}, seed {run.seed}", caption, "data:image/gif;base64," + b64encode(data).decode())
        for run in filmed
        for name, caption in CAPTIONS.items()
        if (data := run.clip(name)) is not None
    ]
    evaluated = any(run.final or len(evaluations(run.metrics, [])[0]) for run in runs)
    panels = figures.recorded_panels(runs)
    return GameSection(
        name=game,
        on_recordings=runs[0].on_recordings,
        curves=figures.to_svg(figures.learning_curves(runs, colour)) if evaluated else None,
        panels=panels,
        world_models=figures.to_svg(figures.world_models(runs, panels, colour)) if panels else None,
        clips=clips,
    )


def config_differences(runs: Sequence[RunRecord]) -> list[tuple[str, list[str]]]:
    """Return the name of every setting in which methods differ, with its value in each method."""
    firsts = list(first_of_each(runs).values())
    keys = dict.fromkeys(key for run in firsts[1:] for key in differences(firsts[0], run))
    return [(key, [_shown(value_at(run.settings, key)) for run in firsts]) for key in keys]


def _shown(value: object) -> str:
    return ABSENT if value == ABSENT else json.dumps(value)


def game_settings(runs: Sequence[RunRecord]) -> list[tuple[str, str, str]]:
    """Return the settings that runs have because their game needs them: game, name of the setting, value."""
    rows = [(run.game, key, json.dumps(value)) for run in runs for key, value in own_settings(run).items()]
    return list(dict.fromkeys(rows))


def _hardware(run: RunRecord) -> HardwareRow:
    if run.final is None:
        return HardwareRow(run=run.folder)
    where = run.final.provenance
    return HardwareRow(
        run=run.folder,
        cpu=where.cpu,
        cores=where.cores,
        gpu=where.gpu,
        torch=where.packages.get("torch"),
        commit=where.git.commit[:10],
        changed=where.git.dirty,
    )
