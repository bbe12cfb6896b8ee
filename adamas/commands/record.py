"""``adamas data record``: record a game as a dataset, played at random, by an agent, a function or a person."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from torch import Generator, Tensor

from adamas.commands.common import Device, check_env, find_target, first_argument
from adamas.commands.recorded_dataset import kept, recorded_before, seed_after, store_for
from adamas.core import runtime
from adamas.core.actions import ActionSpec
from adamas.core.arguments import option_values, parse
from adamas.core.checks import check_range
from adamas.core.errors import UserError, not_installed
from adamas.data.inspect import summary
from adamas.data.locations import local, parse_place
from adamas.data.recording import Recording, only_writer
from adamas.data.store import EpisodeStore
from adamas.envs.config import AtariConfig, EnvConfig
from adamas.envs.make import make_env
from adamas.interop.load import load
from adamas.rl.action_distribution import check_temperature, num_parameters, sample_action
from adamas.rl.rollout import OnHost
from adamas.training.collect import Collector

CHUNK = 20  # steps between two writes to the disk


@dataclass(frozen=True, kw_only=True)
class Record:
    """Record a game as a dataset. The keyboard plays a single game, until you stop."""

    env: Annotated[EnvConfig, tyro.conf.FlagConversionOff] = field(default_factory=AtariConfig)
    """The game. If an agent plays, options that are not given keep the values of its run."""
    agent: str | None = None
    """The agent that plays: a run, a checkpoint, a published .pt file or hf://owner/name. By default, it plays the game
    that it was trained for, and as many games at the same time as its run did."""
    policy: str | None = None
    """The policy that plays where no agent does. random: uniformly random actions. keyboard: you, in this terminal.
    MODULE:FUNCTION: a function of your own from frames, (B, 3, H, W) uint8, to B actions. By default, random."""
    steps: int = 10_000
    """Number of steps to record, of all games together. Every game needs at least two."""
    num_envs: int = 4
    """Number of games that are played at the same time, at least 1."""
    epsilon: float = 0.0
    """Probability of a uniformly random action instead of the policy's, from 0 (never) to 1 (always)."""
    temperature: float = 1.0
    """Number that an agent's logits are divided by before an action is drawn. 0 takes the most likely action; large
    numbers make all actions equally likely."""
    repeat: float = 0.0
    """Probability of repeating the last action, so that actions last longer, from 0 (never) to below 1. It applies to
    random and MODULE:FUNCTION."""
    fps: float = 15.0
    """Steps of the game per second while the keyboard plays, above 0. 5 suits MinAtar, and 15 suits Atari."""
    seed: int = 0
    """Seed of the games and the actions, at least 0."""
    device: Device = "auto"
    """Device that an agent computes on. auto takes the first that exists of cuda, mps and cpu."""
    append: bool = False
    """Add new episodes to the dataset if it exists already. They use other random numbers than those that are
    there."""

    def __post_init__(self) -> None:
        if self.agent is not None and self.policy is not None:
            raise UserError("`agent` and `policy` both say who plays; leave one of them out")
        policy = self.policy or "random"
        if policy not in ("random", "keyboard") and ":" not in policy:
            raise UserError(
                f"`policy` is {policy!r}; give random, keyboard or MODULE:FUNCTION, or let an agent play with "
                "`agent` RUN"
            )
        check_range("num_envs", self.num_envs, least=1)
        if self.steps < 2 * self.num_envs:
            raise UserError(
                f"`steps` is {self.steps}; it must be at least {2 * self.num_envs}, two for each game of `num_envs`"
            )
        check_range("epsilon", self.epsilon, least=0, most=1)
        check_temperature(self.temperature)
        check_range("repeat", self.repeat, least=0, below=1)
        check_range("fps", self.fps, above=0)
        check_range("seed", self.seed, least=0)


def record(arguments: Sequence[str]) -> None:
    """Play and record, and print what is in the dataset."""
    word, rest = first_argument(arguments, "data record", "a folder for the dataset")
    path = local(parse_place(word))
    agent = option_values(rest).get("agent")
    if agent is not None:
        store = _record_agent(path, rest, agent)
    else:
        options = parse(Record, rest, f"data record {path}", Record())
        play = _record_keyboard if options.policy == "keyboard" else _record_function
        store = play(path, options)
    print("\n".join(summary(store)))


def _record_agent(path: Path, rest: Sequence[str], agent_word: str) -> EpisodeStore:
    """Record an agent. Its run gives the values of the options that are not in ``rest``."""
    target, config, _ = find_target([agent_word], "data record --agent")
    game = config.game_parts
    default = Record() if game is None else Record(env=game.env, num_envs=game.collection.num_envs)
    options = parse(Record, rest, f"data record {path}", default)
    runtime.keep_freed_memory()
    known = recorded_before(path, options.append)
    agent = load(target.path, options.device)
    policy = OnHost(agent.player, runtime.device_of(agent))
    check_env(agent, options.env, target)
    seed = seed_after(known, options.seed)
    with contextlib.closing(make_env(options.env, options.num_envs, seed, training=True)) as env:
        store = store_for(path, known, env, options.env)
        collector = Collector(policy, env, store, Generator().manual_seed(seed))
        left = -(-options.steps // options.num_envs)  # of every environment
        with kept(store) as stored:
            while left > 0:
                chunk = min(left, CHUNK)
                collector.collect(chunk, options.temperature, options.epsilon)
                stored()
                left -= chunk
    return store


def _record_keyboard(path: Path, options: Record) -> EpisodeStore:
    try:
        from adamas.play.keyboard import record_keyboard
        from adamas.play.terminal import check_terminal
    except ModuleNotFoundError as error:
        raise not_installed(str(error.name), "play") from error
    check_terminal("adamas data record --policy keyboard", "let another policy play")
    known = recorded_before(path, options.append)
    seed = seed_after(known, options.seed)
    with contextlib.closing(make_env(options.env, 1, seed, training=True)) as env:
        store = store_for(path, known, env, options.env)
        with only_writer(store):
            record_keyboard(store, env, options.fps)
        return store


def _record_function(path: Path, options: Record) -> EpisodeStore:
    """Record random actions, or those of a function of the user."""
    known = recorded_before(path, options.append)
    seed = seed_after(known, options.seed)
    with contextlib.closing(make_env(options.env, options.num_envs, seed, training=True)) as env:
        spec, generator = env.action_spec, Generator().manual_seed(seed)
        draw = _player(options, spec, generator)
        obs = env.reset().obs
        action = draw(obs)
        store = store_for(path, known, env, options.env)
        recording = Recording(store, env.num_envs)
        with kept(store) as stored:
            for t in range(-(-options.steps // env.num_envs)):
                step = env.step(action)
                recording.add(obs, action, step)
                if t % CHUNK == CHUNK - 1:
                    stored()
                obs = step.obs
                again = torch.rand(env.num_envs, generator=generator) < options.repeat
                action = torch.where(again.view(-1, *(1 for _ in spec.shape)), action, draw(obs))
    return store


def _player(options: Record, spec: ActionSpec, generator: Generator) -> Callable[[Tensor], Tensor]:
    """The function that draws actions, (B, ``*spec.shape``), for frames (B, 3, H, W) uint8."""
    nothing = torch.zeros(options.num_envs, num_parameters(spec))

    def at_random(obs: Tensor) -> Tensor:
        return sample_action(spec, nothing, generator, epsilon=1.0)

    if options.policy is None or options.policy == "random":
        return at_random
    act = _function(options.policy)

    def own(obs: Tensor) -> Tensor:
        action = np.atleast_1d(np.asarray(act(obs.numpy())))
        if len(action) != len(obs):
            problem = f"gave {len(action)} for {len(obs)} frames"
        elif action.shape[1:] != spec.shape:
            problem = f"gave shape {action.shape}, expected {(len(obs), *spec.shape)}"
        else:
            problem = spec.problem(action)
        if problem:
            raise UserError(f"the actions of {options.policy}: {problem}")
        explore = torch.rand(len(obs), generator=generator) < options.epsilon
        explore = explore.view(-1, *(1 for _ in spec.shape))
        return torch.where(explore, at_random(obs), torch.from_numpy(action).to(spec.dtype))

    return own


def _function(word: str) -> Callable[[np.ndarray], np.ndarray]:
    """The function that ``word``, MODULE:FUNCTION, names."""
    module, _, name = word.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"there is no {word} ({error}); give MODULE:FUNCTION, with the module's folder in PYTHONPATH"
        ) from error
