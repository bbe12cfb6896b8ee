"""``adamas collect``: record an agent's play as a dataset."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
import tyro

from adamas.commands.common import Target, check_env, check_seed, find_target
from adamas.core import runtime
from adamas.core.arguments import parse
from adamas.core.config import to_dict
from adamas.core.errors import UserError
from adamas.data.store import EpisodeStore
from adamas.envs.config import EnvConfig
from adamas.envs.make import make_env
from adamas.interop.load import load
from adamas.rl.rollout import OnHost
from adamas.training.collect import Collector

COLLECT_CHUNK = 20  # steps held in memory before they go to disk


@dataclass(frozen=True, kw_only=True)
class Playing:
    """How a game is played for a recording."""

    env: Annotated[EnvConfig, tyro.conf.FlagConversionOff] = field(default_factory=EnvConfig)
    steps: int = 10_000
    """Of all games together."""
    num_envs: int = 4
    """Games that are played at a time."""
    epsilon: float = 0.0
    """Probability of a uniformly random action instead of the policy's."""
    temperature: float = 1.0
    """Of an agent; 0 is greedy."""
    seed: int = 0
    device: str = "auto"
    """Of an agent."""

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.steps < 1:
            raise UserError(f"steps is {self.steps}; it must be at least 1")
        if not 0 <= self.epsilon <= 1:
            raise UserError(f"epsilon is {self.epsilon}; a probability lies in [0, 1]")
        if not self.temperature >= 0:
            raise UserError(f"temperature is {self.temperature}; it must be at least 0 (0 is greedy)")


@dataclass(frozen=True, kw_only=True)
class Collect(Playing):
    """Record episodes of an agent in the real game, in the format of the replay."""

    out: Path
    """Folder of the dataset; must not exist yet."""


def collect(arguments: Sequence[str]) -> None:
    """Play and record."""
    target, config, rest = find_target(arguments, "collect")
    default = Collect(env=config.env, out=tyro.MISSING, num_envs=config.collection.num_envs)
    options = parse(Collect, rest, f"collect {target}", default)
    store = record_agent(target, options, options.out)
    print(f"{store.num_steps:,} steps in {store.num_episodes:,} episodes: {options.out}")


def record_agent(target: Target, options: Playing, out: Path) -> EpisodeStore:
    """Let an agent play, and record it in a new folder."""
    runtime.keep_freed_memory()
    agent = load(target.path, options.device)
    check_env(agent, options.env, target)
    with contextlib.closing(make_env(options.env, options.num_envs, options.seed, training=True)) as env:
        store = EpisodeStore.create(out, env.obs_shape, env.action_spec, to_dict(options.env))
        generator = torch.Generator().manual_seed(options.seed)
        policy = OnHost(agent.actor_critic, runtime.device_of(agent))
        collector = Collector(policy, env, store, generator)
        left = -(-options.steps // options.num_envs)  # of every environment
        while left > 0:
            chunk = min(left, COLLECT_CHUNK)
            collector.collect(chunk, options.temperature, options.epsilon)
            left -= chunk
        store.commit()
    return store
