"""``adamas dream``: films of an agent's dreams."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from torch import Generator, Tensor

from adamas.agent import Agent, check_fits
from adamas.commands.common import Target, check_seed, find_target
from adamas.core import runtime
from adamas.core.actions import ActionSpec
from adamas.core.arguments import parse
from adamas.core.errors import UserError
from adamas.core.files import read_file
from adamas.core.seeding import derive_seed
from adamas.core.types import Batch, History
from adamas.data.store import EpisodeStore
from adamas.dreaming.continuation import continue_dreams, dream_over, true_and_dream
from adamas.dreaming.imagination import Imagination
from adamas.dreaming.starts import PlayedStarts, RecordedStarts, Starts
from adamas.envs.config import EnvConfig
from adamas.envs.make import make_env
from adamas.envs.vector import RealVectorEnv
from adamas.fidelity.drift import as_known, draw_windows
from adamas.interop.load import load
from adamas.media.films import check_film, film_scale, save_film
from adamas.media.pictures import OVER, enlarge, grid, hold_last, side_by_side
from adamas.rl.action_distribution import check_temperature, sample_action
from adamas.rl.rollout import OnHost, burn_in, rollout, start

Source = EpisodeStore | RealVectorEnv
"""What dreams start from: episodes, or a game that the agent plays up to each start."""

MAX_WORLDS = 64
STEPS = 150  # of a film, unless a file of actions says otherwise


@dataclass(frozen=True)
class Dream:
    """Film dreams. Each starts from a real frame; the world model draws all that follow.

    Dreams of the agent's, and random ones, start again elsewhere when they end (--same-start: in the same place), after
    one grey frame. Those under a file's actions, and those beside the real game, stay grey; the film ends when nothing
    in it goes on.
    """

    env: Annotated[EnvConfig, tyro.conf.FlagConversionOff]
    """The game, where it is needed: where there are no episodes to start from, and beside it."""
    out: Path
    """The film, by its ending .mp4 or .gif; if it exists, one with a number is made."""
    steps: int | None = None
    """Frames after the first, at most. None: 150, or as many as a file has actions."""
    worlds: int = 1
    """Dreams, side by side."""
    same_start: bool = False
    """All from the same start, so that they differ by chance alone (and by what the agent makes of it)."""
    beside_real: bool = False
    """Each beside what really happened under the same actions: in held-out episodes, or, where there are none or
    --by says who acts, in the game."""
    by: str | None = None
    """Who acts: agent, random, or a text file with an action on every line, its number or its name. None: the
    agent; beside held-out episodes whoever acted there."""
    dataset: str | None = None
    """Episodes to start from, in a folder or at a URL. None: the run's held-out ones, else those it learnt from,
    else the agent plays the game up to each start."""
    temperature: float = 1.0
    """Of the agent; 0 is greedy."""
    denoising_steps: int | None = None
    """Of each frame. None: as many as the agent learnt with."""
    order: int | None = None
    """1: Euler. 2: Heun. None: the one that the agent learnt with."""
    fps: float = 15.0
    """Frames per second."""
    scale: int | None = None
    """Whole factor to enlarge by. None: an even one that is large enough (odd ones blend colours at edges in .mp4)."""
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        check_seed(self.seed)
        for name in ("steps", "worlds", "scale", "denoising_steps", "order"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} is {value}; it must be at least 1")
        if self.worlds > MAX_WORLDS:
            raise UserError(f"worlds is {self.worlds}; at most {MAX_WORLDS} fit into a film")
        check_temperature(self.temperature)


def dream(arguments: Sequence[str]) -> None:
    """Dream, and write the film."""
    target, config, rest = find_target(arguments, "dream")
    options = parse(Dream, rest, f"dream {target}", Dream(config.env, tyro.MISSING))
    check_film(options.out, options.fps)
    runtime.keep_freed_memory()
    agent = load(target.path, options.device)
    script = None
    if options.by not in (None, "agent", "random"):
        script = read_actions(Path(options.by), agent.action_spec)
    steps = options.steps or (STEPS if script is None else len(script))
    if script is not None and steps > len(script):
        raise UserError(
            f"steps is {steps}, but {options.by} has {len(script)} actions; give more, or fewer steps"
        )
    source: Source | None = _episodes(target, options, agent.world_model.context_length)
    with contextlib.ExitStack() as stack:
        if source is None:
            source = make_env(options.env, 1, derive_seed(options.seed, "dream", "env"), training=True)
            stack.enter_context(contextlib.closing(source))
            check_fits(agent.config, source.obs_shape, source.action_spec, str(target))
        film = _Film(agent, options, steps, script, source)
        where = source.folder if isinstance(source, EpisodeStore) else f"the game, {options.env.game}"
        print(f"dreaming {steps} frames on from {where}", flush=True)
        path = save_film(options.out, film.pictures(), options.fps, scale=1)
    print(f"  {path}")


def read_actions(file: Path, spec: ActionSpec) -> Tensor:
    """(T,) int64 from a text file: on every line that is not empty an action, by its number or its name.

    Raises:
        UserError: the file cannot be read, is empty, or says what is no action.
    """
    try:
        lines = read_file(file).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no text"
        raise UserError(f"by is {file}; it must be agent, random, or a file of actions ({reason})") from error
    known = {name.lower(): i for i, name in enumerate(spec.names)}
    known |= {str(i): i for i in range(spec.num_actions)}
    words = {number: line.strip() for number, line in enumerate(lines, 1) if line.strip()}
    for number, word in words.items():
        if word.lower() not in known:
            raise UserError(
                f"{file}, line {number}: no action {word!r}; give one of {', '.join(spec.names)}, or a number "
                f"below {spec.num_actions}"
            )
    if not words:
        raise UserError(f"{file} is empty; give an action on every line")
    return torch.tensor([known[word.lower()] for word in words.values()])


def _episodes(target: Target, options: Dream, length: int) -> EpisodeStore | None:
    """What dreams start from; None: the game is played for it."""
    if options.beside_real and options.by is not None:
        if options.dataset is not None:
            raise UserError("--by decides what is done in the game: leave out --dataset, or --by")
        return None
    if options.dataset is not None:
        return EpisodeStore.open(options.dataset)
    for name, folder in target.datasets.items():
        store = EpisodeStore.open(folder)
        if (store.lengths > length).any() and (name == "test" or not options.beside_real):
            return store
    return None


class _Film:
    """Dreams on their way into a film."""

    def __init__(
        self, agent: Agent, options: Dream, steps: int, script: Tensor | None, source: Source
    ) -> None:
        """Prepare. Raises UserError: nothing in ``source`` to start from, or no such sampler."""
        own = agent.config.world_model.sampler
        num_steps, order = options.denoising_steps or own.num_steps, options.order or own.order
        self.model = agent.world_model.with_sampler(replace(own, num_steps=num_steps, order=order))
        self.agent, self.options, self.steps, self.script, self.source = agent, options, steps, script, source
        self.device = runtime.device_of(agent)
        self.scale = options.scale or film_scale(agent.config.obs_shape[1])
        self.epsilon = 1.0 if options.by == "random" else 0.0
        self.rng = np.random.default_rng(derive_seed(options.seed, "dream", "starts"))
        self.generator = Generator(self.device).manual_seed(derive_seed(options.seed, "dream"))
        self.starts: Starts
        if isinstance(source, EpisodeStore):
            self.starts = RecordedStarts(source, agent)
        else:
            self.starts = PlayedStarts(source, agent)

    def pictures(self) -> Iterator[Tensor]:
        """The film's pictures, (3, H', W') each: the start, then what was dreamt."""
        restarting = self.script is None and not self.options.beside_real
        for worlds in self._restarting() if restarting else self._continued(self._windows()):
            yield grid(worlds)

    @torch.no_grad()
    def _restarting(self) -> Iterator[Tensor]:
        """Dreams of a policy, (B, 3, H, W) enlarged: a dream that ends starts again, after one grey frame."""
        options, agent = self.options, self.agent
        start_of_all = self.starts.draw(1, self.rng) if options.same_start else None

        def contexts(k: int) -> Batch:
            context = self.starts.draw(k, self.rng) if start_of_all is None else _repeat(start_of_all, k)
            return context.to(self.device)

        dreams = Imagination(
            *(self.model, contexts, options.worlds, self.steps + 1),
            *(agent.config.obs_shape, agent.action_spec, self.generator),
        )
        position = start(agent.actor_critic, dreams)
        yield enlarge(position.obs.cpu(), self.scale)
        over = torch.zeros(options.worlds, dtype=torch.bool)
        for _ in range(self.steps):
            taken, position = rollout(
                agent.actor_critic, dreams, position, 1, self.generator, options.temperature, self.epsilon
            )
            step = taken.steps[0]
            frames, ended = step.obs.cpu().clone(), step.ended.cpu()
            frames[ended] = step.final_obs.cpu()
            frames[over] = OVER
            yield enlarge(frames, self.scale)
            over = ended

    def _continued(self, windows: Batch) -> Iterator[Tensor]:
        """Dreams under the actions of B windows, (B, 3, H, W) enlarged, maybe with what happened beside them."""
        first = windows.obs[:, self.model.context_length - 1]  # (B, C, H, W)
        yield self._beside(first, first)
        dreams = continue_dreams(self.model, windows.to(self.device), self.generator)
        pairs = [true_and_dream(dreams, i) for i in range(len(windows.obs))]
        going_on = dreams.mask if self.options.beside_real else ~dream_over(dreams)  # (B, T)
        steps = int(going_on.sum(dim=1).max())
        real, dream = (
            torch.stack([hold_last(f, steps) for f in films]) for films in zip(*pairs, strict=True)
        )
        for t in range(steps):
            yield self._beside(real[:, t], dream[:, t])

    def _beside(self, real: Tensor, dream: Tensor) -> Tensor:
        """(B, C, H, W) each to (B, 3, H', W')."""
        if not self.options.beside_real:
            return enlarge(dream, self.scale)
        return side_by_side(real, dream, self.scale, ("real", "dream"))

    def _windows(self) -> Batch:
        """B windows: a start each, and the steps after it, of which the actions are what matters."""
        options, length = self.options, self.model.context_length
        count = 1 if options.same_start else options.worlds
        if self.script is not None and not options.beside_real:
            context, action = self.starts.draw(count, self.rng), self.script[: self.steps].expand(count, -1)
            nothing = context.obs.new_zeros(count, self.steps, *context.obs.shape[2:])
            windows = _extended(context, action, nothing, torch.ones_like(action, dtype=torch.bool))
        elif isinstance(self.source, EpisodeStore):
            drawn = draw_windows(self.source, count, length, self.steps, self.rng).batch
            windows = as_known(drawn, self.agent.action_spec, str(self.source.folder))
        else:
            played = [vars(self._played(self.source)).values() for _ in range(count)]
            windows = Batch(*(torch.cat(parts) for parts in zip(*played, strict=True)))
        return _repeat(windows, options.worlds) if options.same_start else windows

    @torch.no_grad()
    def _played(self, env: RealVectorEnv) -> Batch:
        """One window of the game: the agent plays up to the start, and then whoever is to act."""
        context = PlayedStarts(env, self.agent).draw(1, self.rng)
        policy = OnHost(self.agent.actor_critic, self.device)
        state = burn_in(policy, History(context.obs[:, :-1], context.mask[:, :-1]))
        generator = torch.Generator().manual_seed(int(self.rng.integers(2**63)))
        frames, actions = [context.obs[:, -1]], []
        for t in range(self.steps):
            logits, _, state = policy(frames[-1], state)
            action = sample_action(env.action_spec, logits, generator, self.options.temperature, self.epsilon)
            actions.append(action if self.script is None else self.script[t : t + 1])
            step = env.step(actions[-1])
            frames.append(step.final_obs if step.ended[0] else step.obs)
            if step.ended[0]:
                break
        steps = torch.arange(self.steps)
        obs = hold_last(torch.cat(frames[1:]), self.steps)[None]
        action = hold_last(torch.cat(actions), self.steps)[None]
        return _extended(context, action, obs, (steps < len(actions))[None])


def _extended(context: Batch, action: Tensor, obs: Tensor, known: Tensor) -> Batch:
    """B contexts and T steps after each: (B, T) int64, (B, T, C, H, W), and (B, T) bool: whether it happened."""
    pairs = ((context.obs, obs), (context.action, action), (context.mask, known))
    frames, actions, mask = (torch.cat(pair, dim=1) for pair in pairs)
    none = torch.zeros(actions.shape)
    return Batch(frames, actions, none, none.bool(), none.bool(), mask)


def _repeat(one: Batch, count: int) -> Batch:
    return one[torch.zeros(count, dtype=torch.int64)]
