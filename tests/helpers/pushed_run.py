"""A run to be uploaded, and its scores."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from adamas.core.config import to_dict
from adamas.envs.config import MinAtarConfig
from adamas.presets import preset

CONFIG = replace(preset("debug"), env=MinAtarConfig(game="breakout", size=10, max_episode_steps=50), seed=3)
SCORES = {
    "protocol": {
        "env": to_dict(CONFIG.env),
        "actions": "sampled",
        "temperature": 0.5,
        "episodes": 2,
        "seed": 7,
    },
    "agent": {"mean": 1.5, "mean_interval_95": [1.0, 2.0], "returns": [1.0, 2.0]},
    "random_policy": {"mean": 0.25, "mean_interval_95": [0.0, 0.5], "returns": [0.0, 0.5]},
    "provenance": {},
    "run": {"real_steps": 12345},
}


def score(run_dir: Path, name: str = "scores.json", mean: float = 1.5) -> None:
    (run_dir / "results").mkdir(exist_ok=True)
    scores = SCORES | {"agent": SCORES["agent"] | {"mean": mean}}  # type: ignore[operator]
    (run_dir / "results" / name).write_text(json.dumps(scores, indent=2) + "\n")
