"""What several commands need."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from adamas.agent import Agent, check_fits
from adamas.core.config import from_dict
from adamas.core.errors import UserError
from adamas.envs.config import EnvConfig
from adamas.envs.make import make_env
from adamas.interop.hub import fetch, is_address
from adamas.training.config import Config


def find_target(arguments: Sequence[str], command: str) -> tuple[Path, Config, Sequence[str]]:
    """The agent that a command is about, the configuration of its run, and the other arguments.

    An agent on the hub is fetched. The published format says nothing of a configuration: it gets the paper's.
    """
    if not arguments or arguments[0].startswith("-"):
        raise UserError(
            f"{command} needs a run folder, a checkpoint folder or a published .pt file, or hf://owner/name"
        )
    target = fetch(arguments[0]) if is_address(arguments[0]) else Path(arguments[0])
    config = Config()
    file = target / "config.yaml"
    if file.is_file():
        try:
            data = yaml.safe_load(file.read_bytes())
        except yaml.YAMLError as error:
            raise UserError(f"{file} is not valid YAML; restore it from a checkpoint's") from error
        # A checkpoint keeps the agent's configuration beside the run's.
        config = from_dict(Config, data["run"] if isinstance(data, dict) and "run" in data else data)
    return target, config, arguments[1:]


def check_env(agent: Agent, config: EnvConfig, target: Path) -> None:
    """Refuse a game that the agent was not trained for, as UserError."""
    with contextlib.closing(make_env(config, 1, 0, training=False)) as env:
        check_fits(agent.config, env.obs_shape, env.action_spec, str(target))


def check_seed(seed: int) -> None:
    """Refuse a seed that is none, as UserError."""
    if seed < 0:
        raise UserError(f"seed is {seed}; it must be at least 0")


def print_scores(scores: Mapping[str, Any]) -> None:
    """A line for the agent and one for the random policy."""
    for name in ("agent", "random_policy"):
        mean, (low, high) = scores[name]["mean"], scores[name]["mean_interval_95"]
        count = len(scores[name]["returns"])
        interval = f"[{low:.2f}, {high:.2f}] over {count} episodes"
        print(f"{name.replace('_', ' '):14s} mean return {mean:8.2f}  {interval}")
