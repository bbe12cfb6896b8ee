"""``adamas evaluate``: score an agent in the real game."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from adamas.commands.common import Target, check_env, check_seed, find_target, print_scores
from adamas.core import runtime
from adamas.core.arguments import parse
from adamas.envs.config import EnvConfig
from adamas.evaluation.results import evaluate_agent, write_results
from adamas.interop.load import load


@dataclass(frozen=True)
class Evaluate:
    """Score an agent, and a random policy, in the real game."""

    env: Annotated[EnvConfig, tyro.conf.FlagConversionOff]
    episodes: int = 100
    num_envs: int = 16
    """Environments played in parallel."""
    seed: int = 0
    temperature: float = 1.0
    """Of the policy; 0 is greedy."""
    out: Path = Path("scores.json")
    """Where the episodes and everything needed to trace them go; never overwritten."""
    device: str = "auto"

    def __post_init__(self) -> None:
        check_seed(self.seed)


def evaluate(arguments: Sequence[str]) -> None:
    """Score, print, and write the scores."""
    target, config, rest = find_target(arguments, "evaluate")
    default = Evaluate(config.env, num_envs=config.evaluation.num_envs, out=_evaluation_file(target))
    options = parse(Evaluate, rest, f"evaluate {target}", default)
    runtime.keep_freed_memory()
    agent = load(target.path, options.device)
    check_env(agent, options.env, target)
    scores = evaluate_agent(
        agent,
        options.env,
        episodes=options.episodes,
        num_envs=options.num_envs,
        seed=options.seed,
        temperature=options.temperature,
        device=runtime.device_of(agent),
    )
    scores |= {"target": str(target), "target_commit": target.commit}
    path = write_results(options.out, scores)
    print_scores(scores)
    print(f"  {path}")


def _evaluation_file(target: Target) -> Path:
    """Beside the other results of a run; of anything else in the working folder. Old checkpoints get deleted."""
    if target.is_run:
        return target.path / "results" / "evaluation.json"
    return Path(f"{target.name}-evaluation.json")
