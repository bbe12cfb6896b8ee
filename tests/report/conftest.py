"""What a run of two epochs has recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

METRICS: list[dict[str, Any]] = [
    {"step": 5, "epoch": 0, "phase": "collect", "reward_rate": 0.1, "end_rate": 0.2, "real_steps": 500},
    {"step": 6, "epoch": 1, "phase": "collect", "reward_rate": 0.3, "end_rate": 0.4, "real_steps": 600},
    {"step": 106, "epoch": 1, "phase": "denoiser", "loss": 1.0},
    {"step": 206, "epoch": 1, "phase": "denoiser", "loss": 0.5},
    {"step": 207, "epoch": 1, "phase": "reward_end", "loss": 0.3, "loss_reward": 0.1, "loss_end": 0.2},
    {"step": 208, "epoch": 1, "phase": "actor_critic", "loss": "nan", "reward_rate": 0.2, "end_rate": 0.1},
    {
        **{"step": 209, "epoch": 1, "phase": "evaluate", "return": 2.5, "length": 9.0},
        **{"psnr_1": 20.0, "exact_1": 0.75, "psnr_15": 10.0, "exact_15": 0.25},
        **{"dream_reward_rate": 0.1, "real_reward_rate": 0.2, "dream_end_rate": 0.0, "real_end_rate": 0.1},
    },
    {"step": 210, "epoch": 2, "phase": "collect", "reward_rate": 0.3, "end_rate": 0.4, "real_steps": 700},
    {"step": 211, "epoch": 2, "phase": "denoiser", "loss": 0.25},
    {"step": 212, "epoch": 2, "phase": "evaluate", "return": 3.5, "psnr_1": 30.0, "exact_1": 1.0},
]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run of two epochs in which every unit of work took 36 seconds."""
    timing = [
        {**{key: r[key] for key in ("step", "epoch", "phase")}, "seconds": 36 * r["step"]} for r in METRICS
    ]
    write_lines(tmp_path / "metrics" / "metrics.jsonl", METRICS)
    write_lines(tmp_path / "metrics" / "timing.jsonl", timing)
    return tmp_path


def write_lines(path: Path, records: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
