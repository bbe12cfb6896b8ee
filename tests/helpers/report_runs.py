"""Runs as a report finds them, and the words of its page."""

from __future__ import annotations

import base64
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import yaml

from adamas.core.config import to_dict
from adamas.presets import preset
from adamas.report.page import render
from adamas.report.runs import find_runs
from tests.helpers.scores import scores_json

GIF = base64.b64decode("R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs=")  # one pixel


def make_run(
    folder: Path, game: str = "Breakout", seed: int = 0, score: float | None = 10.0, **changes: Any
) -> Path:
    config = to_dict(preset("debug"))
    config |= {"seed": seed, **changes}
    config["env"]["game"] = game
    metrics = [
        {"step": 5, "epoch": 0, "phase": "collect", "real_steps": 500},
        {"step": 8, "epoch": 1, "phase": "denoiser", "loss": 0.5},
        {"step": 9, "epoch": 1, "phase": "evaluate", "return": 2.5, "exact_1": 0.5},
    ]
    timing = [{"step": 9, "epoch": 1, "phase": "evaluate", "seconds": 1800}]
    (folder / "metrics").mkdir(parents=True)
    (folder / "results").mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    for name, records in (("metrics", metrics), ("timing", timing)):
        (folder / f"metrics/{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    if score is not None:
        write_score(folder / "results/scores.json", score)
        (folder / "results/agent.gif").write_bytes(GIF)
    return folder


def write_score(path: Path, score: float) -> None:
    path.write_text(json.dumps(scores_json(score)))


class Words(HTMLParser):
    """The words of a page, without figures and style; fails on tags that do not match."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        assert not self.open
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"svg", "style", "script"} & set(self.open):
            self.words.append(data)


def words(folder: Path, *against: str) -> str:
    return Words(render(find_runs([folder]), against)).text


def make_recordings_run(folder: Path, data: str = "/somewhere/drives", **changes: Any) -> Path:
    """A run on recordings: no returns, no scores, and a film of a dream."""
    make_run(folder, score=None, data=data, **changes)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config |= {"env": None, "collection": None, "actor_critic": None}
    config["training"]["actor_critic"] = None
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    records = [
        {"step": 8, "epoch": 1, "phase": "denoiser", "loss": 0.5},
        {"step": 9, "epoch": 1, "phase": "evaluate", "psnr_1": 25.0, "exact_1": 0.5},
    ]
    (folder / "metrics/metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    (folder / "results/dream.gif").write_bytes(GIF)
    return folder
