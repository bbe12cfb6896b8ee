"""``adamas data record``: record a game as a dataset, played at random, by an agent, a function or a person."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor

from adamas.commands.collect import (
    CHUNK,
    Playing,
    kept,
    record_agent,
    recorded_before,
    recording_store,
    seed_after,
)
from adamas.commands.common import find_target, first_argument
from adamas.core.actions import ActionSpec
from adamas.core.arguments import parse
from adamas.core.errors import UserError, nearest, require
from adamas.data.inspect import summary
from adamas.data.locations import local, parse_place
from adamas.data.recording import Recording, only_writer
from adamas.data.store import EpisodeStore
from adamas.envs.make import make_env
from adamas.rl.action_distribution import num_parameters, sample_action

PLAYERS = ("random", "agent", "keyboard")


@dataclass(frozen=True, kw_only=True)
class Record(Playing):
    """Record a game as a dataset. The keyboard plays a single game, until you stop."""

    policy: str = "random"
    """The policy that plays. random: uniformly random actions. agent: the agent that --agent names. keyboard: you, in
    this terminal. MODULE:FUNCTION: a function of your own from frames, (B, 3, H, W) uint8, to B actions."""
    agent: str | None = None
    """The agent that plays with --policy agent: a run, a checkpoint, a published .pt file or hf://owner/name. By
    default, it plays the game that it was trained for."""
    repeat: float = 0.0
    """Probability of repeating the last action, so that actions last longer, from 0 (never) to below 1. It applies to
    random and MODULE:FUNCTION."""
    fps: float = 15.0
    """Steps of the game per second while the keyboard plays, above 0. 5 suits MinAtar, and 15 suits Atari."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.policy not in PLAYERS and ":" not in self.policy:
            hint = nearest(self.policy, PLAYERS)
            raise UserError(
                f"`policy` is {self.policy!r}; {hint} Or MODULE:FUNCTION for a function of your own"
            )
        if (self.policy == "agent") != (self.agent is not None):
            raise UserError("`policy` agent and `agent` RUN go together; give both, or neither")
        if self.steps < 2 * self.num_envs or self.num_envs < 1 or not 0 <= self.repeat < 1:
            raise UserError(
                "`num_envs` must be at least 1, `steps` at least twice as many, and `repeat` in [0, 1), got "
                f"{self.num_envs}, {self.steps} and {self.repeat}"
            )
        if not self.fps > 0:
            raise UserError(f"`fps` is {self.fps}; it must be greater than 0")


def record(arguments: Sequence[str]) -> None:
    """Play and record, and print what is in the dataset."""
    word, rest = first_argument(arguments, "data record", "a folder for the dataset")
    path = local(parse_place(word))
    options = parse(Record, rest, f"data record {path}", Record())
    if options.agent is not None:
        store = _record_agent(path, rest, options.agent)
    elif options.policy == "keyboard":
        store = _record_keyboard(path, options)
    else:
        store = _record_function(path, options)
    print("\n".join(summary(store)))


def _record_agent(path: Path, rest: Sequence[str], agent: str) -> EpisodeStore:
    target, config, _ = find_target([agent], "data record --agent")
    options = parse(Record, rest, f"data record {path}", Record(env=config.env))
    return record_agent(target, options, path)


def _record_keyboard(path: Path, options: Record) -> EpisodeStore:
    try:
        from adamas.play.keyboard import record_keyboard
        from adamas.play.terminal import check_terminal
    except ModuleNotFoundError as error:
        raise require(str(error.name), "play") from error
    check_terminal("adamas data record --policy keyboard", "let another policy play")
    known = recorded_before(path, options)
    seed = seed_after(known, options.seed)
    with contextlib.closing(make_env(options.env, 1, seed, training=True)) as env:
        store = recording_store(path, known, env, options)
        with only_writer(store):
            record_keyboard(store, env, options.fps)
        return store


def _record_function(path: Path, options: Record) -> EpisodeStore:
    """Record random actions, or those of a function of the user."""
    known = recorded_before(path, options)
    seed = seed_after(known, options.seed)
    with contextlib.closing(make_env(options.env, options.num_envs, seed, training=True)) as env:
        spec, generator = env.action_spec, Generator().manual_seed(seed)
        draw = _player(options, spec, generator)
        obs = env.reset().obs
        action = draw(obs)
        store = recording_store(path, known, env, options)
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

    if options.policy == "random":
        return at_random
    act = _function(options.policy)

    def own(obs: Tensor) -> Tensor:
        action = np.asarray(act(obs.numpy()))
        problem = (
            spec.problem(action) if len(action) == len(obs) else f"gave {len(action)} for {len(obs)} frames"
        )
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
