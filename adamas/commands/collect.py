"""``adamas collect``: record an agent's play as a dataset."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
import tyro

from adamas.commands.common import Device, Target, check_env, check_seed, find_target
from adamas.core import runtime
from adamas.core.arguments import parse
from adamas.core.config import diff, to_dict
from adamas.core.console import counted
from adamas.core.errors import Interrupted, UserError
from adamas.core.seeding import derive_seed
from adamas.data.index import INDEX
from adamas.data.recording import committing, only_writer
from adamas.data.store import EpisodeStore
from adamas.envs.config import AtariConfig, EnvConfig, read_env
from adamas.envs.make import make_env
from adamas.envs.vector import RealVectorEnv
from adamas.interop.load import load
from adamas.rl.action_distribution import check_temperature
from adamas.rl.rollout import OnHost
from adamas.training.collect import Collector

CHUNK = 20  # steps between two writes to the disk


@dataclass(frozen=True, kw_only=True)
class Playing:
    """How a game is played for a recording."""

    env: Annotated[EnvConfig, tyro.conf.FlagConversionOff] = field(default_factory=AtariConfig)
    """The game. If an agent plays, options that are not given keep the values of its run."""
    steps: int = 10_000
    """Number of steps to record, of all games together."""
    num_envs: int = 4
    """Number of games that are played at the same time, at least 1."""
    epsilon: float = 0.0
    """Probability of a uniformly random action instead of the policy's, from 0 (never) to 1 (always)."""
    temperature: float = 1.0
    """Number that an agent's logits are divided by before an action is drawn. 0 takes the most likely action; large
    numbers make all actions equally likely."""
    seed: int = 0
    """Seed of the games and the actions, at least 0."""
    device: Device = "auto"
    """Device that an agent computes on. auto takes the first that exists of cuda, mps and cpu."""
    append: bool = False
    """Add new episodes to the dataset if it exists already. They use other random numbers than those that are
    there."""

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.steps < 1:
            raise UserError(f"`steps` is {self.steps}; it must be at least 1")
        if not 0 <= self.epsilon <= 1:
            raise UserError(f"`epsilon` is {self.epsilon}; a probability lies in [0, 1]")
        check_temperature(self.temperature)


@dataclass(frozen=True, kw_only=True)
class Collect(Playing):
    """Record an agent's play in the real game as a dataset."""

    out: Path
    """Folder of the dataset. It must not exist yet, unless --append adds to it."""


def collect(arguments: Sequence[str]) -> None:
    """Play and record."""
    target, config, rest = find_target(arguments, "collect")
    default = Collect(env=config.env, out=tyro.MISSING, num_envs=config.collection.num_envs)
    options = parse(Collect, rest, f"collect {target}", default)
    store = record_agent(target, options, options.out)
    print(f"{counted(store.num_steps, 'step')} in {counted(store.num_episodes, 'episode')}: {options.out}")


def record_agent(target: Target, options: Playing, out: Path) -> EpisodeStore:
    """Record an agent's play in ``out``."""
    runtime.keep_freed_memory()
    known = recorded_before(out, options)
    agent = load(target.path, options.device)
    check_env(agent, options.env, target)
    seed = seed_after(known, options.seed)
    with contextlib.closing(make_env(options.env, options.num_envs, seed, training=True)) as env:
        generator = torch.Generator().manual_seed(seed)
        policy = OnHost(agent.actor_critic, runtime.device_of(agent))
        store = recording_store(out, known, env, options)
        collector = Collector(policy, env, store, generator)
        left = -(-options.steps // options.num_envs)  # of every environment
        with kept(store) as stored:
            while left > 0:
                chunk = min(left, CHUNK)
                collector.collect(chunk, options.temperature, options.epsilon)
                stored()
                left -= chunk
    return store


@contextlib.contextmanager
def kept(store: EpisodeStore) -> Iterator[Callable[[], None]]:
    """:func:`~adamas.data.recording.committing` for one process alone; after Ctrl-C the error says how to continue."""
    try:
        with only_writer(store), committing(store) as stored:
            yield stored
    except KeyboardInterrupt:
        kept_steps = counted(store.num_steps, "step")
        raise Interrupted(
            f"interrupted; {kept_steps} are in {store.folder}; add more with the same command and --append"
        ) from None


def recorded_before(folder: Path, options: Playing) -> EpisodeStore | None:
    """The dataset to which a recording is added, or None if it begins a new one.

    Raises:
        UserError: there is one that holds something, and nothing is to be added to it.
    """
    if not os.path.lexists(folder / INDEX):
        return None
    store = EpisodeStore.open(folder)
    if store.num_rows and not options.append:
        raise UserError(
            f"{folder} holds {counted(store.num_steps, 'step')} in {counted(store.num_episodes, 'episode')} already; "
            "add to them with `append` (`steps` says how many more), or choose another folder"
        )
    return store


def seed_after(known: EpisodeStore | None, seed: int) -> int:
    """The seed of a recording. One that is added to a dataset gets another seed, or it would repeat its episodes."""
    return seed if known is None or not known.num_rows else derive_seed(seed, "append", known.num_rows)


def recording_store(
    folder: Path, known: EpisodeStore | None, env: RealVectorEnv, options: Playing
) -> EpisodeStore:
    """The store for a recording of ``env``: ``known``, or a new one.

    Raises:
        UserError: ``known`` has other frames or actions, or is of another game; or the folder cannot be used.
    """
    if known is None:
        return EpisodeStore.create(folder, env.obs_shape, env.action_spec, to_dict(options.env))
    game = None if known.game is None else read_env(known.game, f"game in {folder}")
    if (known.obs_shape, known.action_spec, game) != (env.obs_shape, env.action_spec, options.env):
        there = {} if game is None else diff(game, options.env)
        differences = ", ".join(f"`env.{key}` {old} there, {new} here" for key, (old, new) in there.items())
        raise UserError(
            f"{folder} holds a recording of something else ({differences or 'other frames or actions'}); "
            "record the same, or choose another folder"
        )
    return known
