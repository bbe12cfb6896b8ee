"""A run to be uploaded, and its scores."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from adamas.envs.config import MinAtarConfig
from adamas.presets import preset
from tests.helpers.scores import scores_json

BREAKOUT = MinAtarConfig(game="breakout", size=10, max_episode_steps=50)
CONFIG = replace(preset("debug"), env=BREAKOUT, seed=3)
SCORES = scores_json(1.5, random_mean=0.25, env=BREAKOUT, real_steps=12345)

TRAINER = {"clock": {"seconds": SCORES["run"]["seconds"]}}
"""The state of the training loop in the checkpoint that was scored."""


def score(run_dir: Path, name: str = "scores.json", mean: float = 1.5) -> None:
    (run_dir / "results").mkdir(exist_ok=True)
    scores = SCORES | {"agent": SCORES["agent"] | {"mean": mean}}
    (run_dir / "results" / name).write_text(json.dumps(scores, indent=2) + "\n")
