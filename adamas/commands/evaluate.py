"""``adamas evaluate``: score an agent in the real game."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro

from adamas.commands.common import Device, Target, check_env, find_target, print_scores
from adamas.core import runtime
from adamas.core.arguments import parse
from adamas.core.checks import check_range
from adamas.envs.config import AtariConfig, EnvConfig
from adamas.evaluation.evaluate import evaluate_agent
from adamas.evaluation.result_file import write_evaluation
from adamas.interop.load import load


@dataclass(frozen=True)
class Evaluate:
    """Score an agent, and a random policy, in the real game."""

    env: Annotated[EnvConfig | None, tyro.conf.FlagConversionOff] = field(default_factory=AtariConfig)
    """The game. Options that are not given keep the values of the agent's run."""
    episodes: int = 100
    """Number of episodes for each of the two policies, at least 1. The interval of a score narrows with their
    root."""
    num_envs: int = 16
    """Number of games that are played at the same time, at least 1. More are faster and use more memory."""
    seed: int = 0
    """Seed of the games and the actions, at least 0."""
    temperature: float = 1.0
    """Number that the agent's logits are divided by before an action is drawn. 0 takes the most likely action; large
    numbers make all actions equally likely."""
    out: Path = Path("scores.json")
    """File (.json) for the returns of all episodes and for what is needed to repeat them. An existing file is kept,
    and the new one gets a number. By default, a file in the folder results of the run, or in the working folder."""
    device: Device = "auto"
    """Device that the agent computes on. auto takes the first that exists of cuda, mps and cpu."""

    def __post_init__(self) -> None:
        check_range("seed", self.seed, least=0)


def evaluate(arguments: Sequence[str]) -> None:
    """Score, print, and write the scores."""
    target, config, rest = find_target(arguments, "evaluate")
    default = Evaluate(config.env, num_envs=config.evaluation.num_envs, out=_evaluation_file(target))
    options = parse(Evaluate, rest, f"evaluate {target}", default)
    runtime.keep_freed_memory()
    agent = load(target.path, options.device)
    _ = agent.policy  # raises UserError without a policy, before anything is said of the game
    evaluation = evaluate_agent(
        agent,
        check_env(agent, options.env, target),
        episodes=options.episodes,
        num_envs=options.num_envs,
        seed=options.seed,
        temperature=options.temperature,
        device=runtime.device_of(agent),
    )
    evaluation = replace(evaluation, target=str(target), target_commit=target.commit)
    path = write_evaluation(options.out, evaluation)
    print_scores(evaluation)
    print(f"  {path}")


def _evaluation_file(target: Target) -> Path:
    """The default file: among the results of a run, else in the working folder, because checkpoints get deleted."""
    if target.is_run:
        return target.path / "results" / "evaluation.json"
    return Path(f"{target.name}-evaluation.json")
