"""The content of a file of scores."""

from __future__ import annotations

from typing import Any

from adamas.core.config import to_dict
from adamas.envs.config import EnvConfig, MinAtarConfig

BREAKOUT = MinAtarConfig(game="breakout", size=10)


def scores_json(
    mean: float, random_mean: float = 0.5, env: EnvConfig = BREAKOUT, real_steps: int | None = None
) -> dict[str, Any]:
    """The scores of three episodes of each policy, all of the same return.

    Args:
        mean: the agent's return.
        random_mean: the random policy's return.
        env: the game.
        real_steps: steps of the run that trained the agent; None for an agent that was scored by itself.
    """
    run = {"config": {"seed": 7}, "real_steps": real_steps, "seconds": 1.5}
    return {
        "protocol": {
            "env": to_dict(env),
            "training": False,
            "actions": "sampled",
            "temperature": 0.5,
            "episodes": 3,
            "num_envs": 2,
            "seed": 7,
            "device": "cpu",
        },
        "agent": _score(mean),
        "random_policy": _score(random_mean),
        "provenance": {
            "time_utc": "2026-01-02T03:04:05+00:00",
            "packages": {"torch": "2"},
            "git": {"commit": "c0ffee", "dirty": None},
            "python": "3.11.7",
            "platform": "Linux",
            "cpu": "A Processor",
            "cpu_vectors": "AVX2",
            "cpu_bf16": False,
            "cores": 2,
            "gpu": None,
        },
        **({} if real_steps is None else {"run": run}),
    }


def _score(mean: float) -> dict[str, Any]:
    return {
        "mean": mean,
        "std": 0.0,
        "median": mean,
        "mean_interval_95": [mean - 1, mean + 1],
        "mean_length": 9.0,
        "returns": [mean] * 3,
        "lengths": [9, 9, 9],
    }
