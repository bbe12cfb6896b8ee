"""Evaluation results as JSON: scores of all episodes, with the protocol and the provenance (code and machine)."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from adamas.agent import Agent, check_fits
from adamas.core.checks import check_range
from adamas.core.config import to_dict
from adamas.core.files import write_numbered
from adamas.core.protocols import Policy
from adamas.core.runtime import multiplies_bf16
from adamas.core.seeding import derive_seed
from adamas.envs.config import EnvConfig
from adamas.envs.make import make_env
from adamas.evaluation.protocol import EpisodeScore, RandomPolicy, play_episodes
from adamas.rl.action_distribution import check_temperature
from adamas.rl.rollout import OnHost

PACKAGES = ("adamas", "torch", "numpy", "gymnasium", "ale-py", "minatar")
PACKAGE_FOLDER = Path(__file__).parents[1]


def evaluate_agent(
    agent: Agent,
    env_config: EnvConfig,
    *,
    episodes: int,
    num_envs: int,
    seed: int,
    temperature: float = 1.0,
    device: torch.device,
) -> dict[str, Any]:
    """Score an agent on whole episodes of the real environment, and a random policy under the same protocol.

    Args:
        agent: the agent, on ``device``.
        env_config: the game. A lost life does not end an episode here.
        episodes: number of episodes of each policy.
        num_envs: number of environments that are played in parallel. They share the episodes.
        seed: determines everything random, on the same machine.
        temperature: temperature of the agent's policy; 0 is greedy.
        device: device on which the agent's network computes.

    Returns:
        ``protocol``, ``agent`` and ``random_policy`` (:func:`summary` of each), and ``provenance``. All values can be
        written as JSON.

    Raises:
        UserError: if the protocol is invalid, or the agent was not trained for the environment.
    """
    check_range("episodes", episodes, least=1)
    check_temperature(temperature)
    num_envs = min(num_envs, episodes)
    # The random policy is always sampled. Greedy, it would always take its first action.
    policies: dict[str, tuple[Policy, float]] = {
        "agent": (OnHost(agent.actor_critic, device), temperature),
        "random_policy": (RandomPolicy(agent.action_spec), 1.0),
    }
    summaries = {}
    for name, (policy, policy_temperature) in policies.items():
        env_seed = derive_seed(seed, "evaluation", "env")  # the same for both policies
        with closing(make_env(env_config, num_envs, env_seed, training=False)) as env:
            check_fits(agent.config, env.obs_shape, env.action_spec, "the agent")
            generator = torch.Generator().manual_seed(derive_seed(seed, "evaluation", name))
            scores = play_episodes(policy, env, episodes, generator, policy_temperature)
        summaries[name] = summary(scores, derive_seed(seed, "bootstrap"))
    protocol = {
        "env": to_dict(env_config),
        "training": False,
        "actions": "sampled" if temperature > 0 else "greedy",
        "temperature": temperature,
        "episodes": episodes,
        "num_envs": num_envs,
        "seed": seed,
        "device": str(device),
    }
    return {"protocol": protocol, **summaries, "provenance": provenance()}


def summary(episodes: Sequence[EpisodeScore], seed: int) -> dict[str, Any]:
    """Compute statistics of the returns of episodes, and list the episodes.

    Returns:
        ``mean``, ``std`` (dividing by the number of episodes), ``median``, ``mean_interval_95`` (see
        :func:`bootstrap_interval`), ``mean_length``, ``returns`` and ``lengths`` (of each episode).
    """
    returns = np.array([episode.score for episode in episodes])
    lengths = [episode.length for episode in episodes]
    return {
        "mean": float(returns.mean()),
        "std": float(returns.std()),
        "median": float(np.median(returns)),
        "mean_interval_95": bootstrap_interval(returns, seed),
        "mean_length": float(np.mean(lengths)),
        "returns": returns.tolist(),
        "lengths": lengths,
    }


def bootstrap_interval(values: np.ndarray, seed: int, num_resamples: int = 10_000) -> list[float]:
    """The 95 % percentile bootstrap interval of the mean of (n,) values (Efron 1979): its lower and upper end.

    For the episodes of one run, it covers evaluation noise only. Training runs with other seeds vary more.
    """
    rng = np.random.default_rng(seed)
    means = rng.choice(values, (num_resamples, len(values))).mean(axis=1)
    return [float(end) for end in np.quantile(means, [0.025, 0.975])]


def provenance() -> dict[str, Any]:
    """Describe the code, the machine and the time: package versions, git commit, hardware, UTC time."""
    return {
        "time_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "packages": {name: version for name in PACKAGES if (version := _version(name)) is not None},
        "git": git_state(PACKAGE_FOLDER),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cpu_vectors": torch.backends.cpu.get_cpu_capability(),
        "cpu_bf16": multiplies_bf16(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def git_state(folder: Path) -> dict[str, Any]:
    """The git commit of ``folder``, and whether its files differ from that commit (``dirty``).

    If git is missing or does not track the folder, the commit is "unknown" and ``dirty`` is None.
    """
    # A package that is installed inside another repository must not report the commit of that repository.
    if _git(folder, "ls-files", "--error-unmatch", ".") is None:
        return {"commit": "unknown", "dirty": None}
    commit, changes = _git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain", "--", ".")
    return {"commit": commit or "unknown", "dirty": None if changes is None else bool(changes)}


def _git(folder: Path, *command: str) -> str | None:
    """Run a git command in ``folder``, and return its output; None if it fails or git is missing."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *command], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def write_results(path: Path, results: Mapping[str, Any]) -> Path:
    """Write results as JSON, atomically, without overwriting earlier results.

    Returns:
        The path written: ``path``, or the first free of ``name-2.json``, ``name-3.json``, ... if it exists.

    Raises:
        UserError: if the folder cannot be written.
    """
    return write_numbered(path, json.dumps(results, indent=2, allow_nan=False) + "\n")
