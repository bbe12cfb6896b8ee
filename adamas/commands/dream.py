"""``adamas dream``: films of an agent's dreams."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from adamas.agent import Agent
from adamas.commands.common import Device, Target, check_env, find_target
from adamas.core import runtime
from adamas.core.arguments import parse
from adamas.core.errors import UserError
from adamas.data.store import EpisodeStore
from adamas.dreaming.action_file import read_actor
from adamas.dreaming.film_dreams import FilmOptions, Source, film_dreams, game_for_dreams
from adamas.dreaming.starts import first_with_starts
from adamas.envs.config import AtariConfig, EnvConfig
from adamas.interop.load import load
from adamas.media.films import check_film, save_film


@dataclass(frozen=True, kw_only=True)
class Dream(FilmOptions):
    """Film dreams. Each starts from a real frame, and the world model draws all frames that follow.

    Where a policy acts, a dream that ends starts again after one grey frame, from another real frame (or, if you give
    --same-start, from the same one). Dreams under the actions of a file, and dreams beside what really happened, stay
    grey after their end, and the film ends with the last of them.
    """

    env: Annotated[EnvConfig | None, tyro.conf.FlagConversionOff] = field(default_factory=AtariConfig)
    """The game. It is played where there are no episodes to start from, and beside the dreams if it is asked for."""
    out: Path
    """File of the film. Its ending, .mp4 or .gif, chooses the format; if it exists, a number is added to its name."""
    policy: str | None = None
    """Who acts: agent, random, or a text file with an action on every line, given by its number or its name. None: the
    agent; but with --beside-real and held-out episodes, the actions that were recorded in them."""
    dataset: str | None = None
    """Folder or URL of the episodes in which dreams start. None: the held-out episodes of the run, otherwise its
    training episodes (not with --beside-real), otherwise the agent plays the game up to each start."""
    fps: float = 15.0
    """Frames per second of the film, at least 0.1 and at most 60 for .mp4 or 50 for .gif."""
    device: Device = "auto"
    """Device that the agent computes on. auto takes the first that exists of cuda, mps and cpu."""


def dream(arguments: Sequence[str]) -> None:
    """Read the arguments, film the dreams, and print where the film is."""
    target, config, rest = find_target(arguments, "dream")
    options = parse(Dream, rest, f"dream {target}", Dream(env=config.env, out=tyro.MISSING))
    check_film(options.out, options.fps)
    runtime.keep_freed_memory()
    agent = load(target.path, options.device)
    actor = None if options.policy is None else read_actor(options.policy, agent.config.actions)
    with _source(target, agent, options) as (source, where):
        film = film_dreams(agent, source, actor, options)
        print(f"filming dreams from {where}", flush=True)
        path = save_film(options.out, film, options.fps, scale=1)
    print(f"  {path}")


@contextlib.contextmanager
def _source(target: Target, agent: Agent, options: Dream) -> Iterator[tuple[Source, str]]:
    """The dataset or the game in which dreams start, and what it is called."""
    dataset: EpisodeStore | None = None
    if options.beside_real and options.policy is not None:
        if options.dataset is not None:
            raise UserError("`policy` decides what is done in the game; leave out `dataset`, or `policy`")
    elif options.dataset is not None:
        dataset = EpisodeStore.open(options.dataset)
    else:
        names = ("test",) if options.beside_real else ("test", "train")
        folders = target.datasets
        dataset = first_with_starts([folders[name] for name in names if name in folders], agent)
    if dataset is not None:
        yield dataset, str(dataset.folder)
        return
    env = check_env(agent, options.env, target)
    with game_for_dreams(agent, env, seed=options.seed, agent_name=str(target)) as game:
        yield game, f"the game, {env.game}"
