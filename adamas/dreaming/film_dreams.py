"""Films of dreams: under a policy, under given actions, or beside what really happened."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Generator, Tensor

from adamas.agent import Agent, check_fits
from adamas.core import runtime
from adamas.core.checks import check_range
from adamas.core.errors import UserError
from adamas.core.seeding import derive_seed
from adamas.core.types import Batch
from adamas.data.store import EpisodeStore
from adamas.diffusion.samplers import SamplerName
from adamas.dreaming.continuation import continue_dreams, dream_over, true_and_dream
from adamas.dreaming.imagination import Imagination
from adamas.dreaming.starts import PlayedStarts, RecordedStarts, with_actions_of
from adamas.dreaming.windows import draw_windows, play_window, windows_under_actions
from adamas.envs.config import EnvConfig
from adamas.envs.make import make_env
from adamas.envs.vector import RealVectorEnv
from adamas.media.films import film_scale
from adamas.media.pictures import ENDED_GREY, enlarge, grid, hold_last, side_by_side
from adamas.rl.action_distribution import check_temperature
from adamas.rl.random_policy import RandomPolicy
from adamas.rl.rollout import rollout, start

MAX_WORLDS = 64
STEPS = 150

Source = EpisodeStore | RealVectorEnv
"""Where dreams start: in a dataset, or in a single environment that the agent plays up to each start."""

Actor = Literal["agent", "random"] | Tensor
"""Who acts: the agent's policy, a uniformly random policy, or given actions, (T,) int64."""


@dataclass(frozen=True, kw_only=True)
class FilmOptions:
    """What a film of dreams shows, and how it is drawn."""

    steps: int | None = None
    """Largest number of frames after the first. None: 150, or as many as there are given actions."""
    worlds: int = 1
    """Number of dreams that are shown side by side, from 1 to 64."""
    same_start: bool = False
    """Start all dreams from the same frame, so that only chance and the actions that follow from it differ."""
    beside_real: bool = False
    """Show each dream beside what really happened under the same actions: in the recorded episodes, or in the game."""
    temperature: float = 1.0
    """Temperature of the agent's policy. 0 always takes the most likely action, 1 samples as in training, and large
    values act nearly at random."""
    denoising_steps: int | None = None
    """Denoising steps for each frame; more of them take longer. None: as many as the agent was trained with."""
    method: SamplerName | None = None
    """Sampler that draws the frames: euler or heun. None: the one that the agent learnt with."""
    scale: int | None = None
    """Whole factor by which frames are enlarged. None: an even factor that makes them large enough to watch (odd
    factors blur colours at edges in .mp4)."""
    seed: int = 0
    """Seed of all random numbers, at least 0. The same seed makes the same film on the same machine."""

    def __post_init__(self) -> None:
        for name in ("steps", "scale", "denoising_steps"):
            check_range(name, getattr(self, name), least=1)
        check_range("worlds", self.worlds, least=1, most=MAX_WORLDS)
        check_range("seed", self.seed, least=0)
        check_temperature(self.temperature)


def film_dreams(
    agent: Agent, source: Source, actor: Actor | None = None, options: FilmOptions | None = None
) -> Iterator[Tensor]:
    """Film dreams. Each starts from a real frame, and the world model draws all frames that follow.

    Where a policy acts, a dream that ends starts again after one grey frame, from another real frame. Dreams under
    given actions, and dreams beside what really happened, stay grey after their end, and the film ends with the last of
    them.

    Args:
        agent: the agent.
        source: where dreams start, and what is shown beside them.
        actor: who acts. None: the agent; beside recorded episodes, their own actions are taken.
        options: what the film shows; by default those of ``FilmOptions()``.

    Returns:
        The pictures, (3, H', W') uint8 each, computed while they are read. They are enlarged already, so
        :func:`~adamas.media.films.save_film` takes them with ``scale=1``.

    Raises:
        UserError: fewer actions than steps, an actor beside recorded episodes, no such sampler, a dataset in which the
            agent's dreams cannot start, or an agent without a policy that shall act.
    """
    options = options or FilmOptions()
    steps = options.steps or (len(actor) if isinstance(actor, Tensor) else STEPS)
    if isinstance(actor, Tensor) and steps > len(actor):
        raise UserError(
            f"`steps` is {steps}, but there are {len(actor)} actions; give more actions, or fewer steps"
        )
    starts = (
        RecordedStarts(source, agent) if isinstance(source, EpisodeStore) else PlayedStarts(source, agent)
    )
    if options.beside_real and isinstance(starts, RecordedStarts) and actor is not None:
        raise UserError("recorded episodes have their own actions; choose no actor, or film beside the game")
    if not isinstance(actor, Tensor) and actor != "random" and not options.beside_real:
        _ = agent.policy  # raises UserError without a policy, before the first picture is asked for
    return _Film(agent, starts, actor, steps, options).pictures()


@contextmanager
def game_for_dreams(
    agent: Agent, config: EnvConfig, *, seed: int = 0, agent_name: str = "the agent"
) -> Iterator[RealVectorEnv]:
    """Open a game for :func:`film_dreams`, and close it after the block.

    Args:
        agent: the agent that will play the game.
        config: the game.
        seed: the seed of the film. The random numbers of the game are a stream of their own.
        agent_name: name of the agent, for error messages.

    Raises:
        UserError: the game does not exist or is not installed, or the agent was not trained for it.
    """
    with closing(make_env(config, 1, derive_seed(seed, "dream", "env"), training=True)) as env:
        check_fits(agent.config, env.obs_shape, env.action_spec, agent_name)
        yield env


class _Film:
    """A film whose dreams share two random streams: that of the starts, and that of the dreams."""

    def __init__(
        self,
        agent: Agent,
        starts: RecordedStarts | PlayedStarts,
        actor: Actor | None,
        steps: int,
        options: FilmOptions,
    ) -> None:
        self.model = agent.world_model.with_denoising(options.denoising_steps, options.method)
        self.agent, self.starts, self.actor, self.steps, self.options = agent, starts, actor, steps, options
        self.num_starts = 1 if options.same_start else options.worlds
        self.epsilon = 1.0 if isinstance(actor, str) and actor == "random" else 0.0
        self.device = runtime.device_of(agent)
        self.rng = np.random.default_rng(derive_seed(options.seed, "dream", "starts"))
        self.generator = Generator(self.device).manual_seed(derive_seed(options.seed, "dream"))

    def pictures(self) -> Iterator[Tensor]:
        """Draw the pictures, (3, H', W') uint8 each: the start, then the steps."""
        scale = self.options.scale or film_scale(self.agent.config.obs_shape[1])
        if self.options.beside_real:
            for real, dream in self._continue(self._real_windows()):
                yield grid(side_by_side(real, dream, scale, ("real", "dream")))
        elif isinstance(self.actor, Tensor):
            contexts = self.starts.draw(self.num_starts, self.rng)
            for _, dream in self._continue(windows_under_actions(contexts, self.actor[: self.steps])):
                yield grid(enlarge(dream, scale))
        else:
            for dream in self._restart():
                yield grid(enlarge(dream, scale))

    @torch.no_grad()
    def _restart(self) -> Iterator[Tensor]:
        """Dreams of a policy, (B, C, H, W) at each step: a dream that ends starts again, after one grey frame.

        The real frame from which it starts again is shown too.
        """
        first = self.starts.draw(1, self.rng) if self.options.same_start else None

        def contexts(k: int) -> Batch:
            context = self.starts.draw(k, self.rng) if first is None else _repeat(first, k)
            return context.to(self.device)

        worlds = self.options.worlds
        policy = RandomPolicy(self.agent.action_spec) if self.epsilon else self.agent.policy
        dreams = Imagination(
            self.model,
            contexts,
            num_envs=worlds,
            horizon=self.steps + 1,
            obs_shape=self.agent.config.obs_shape,
            action_spec=self.agent.action_spec,
            generator=self.generator,
            for_people=True,
        )
        position, first_frames = start(policy, dreams)
        yield first_frames.cpu()
        grey = torch.full(self.agent.config.obs_shape, ENDED_GREY, dtype=torch.uint8)
        # The frames that each world has still to show. After an end they are more than one, and the world lags behind.
        waiting = [deque[Tensor]() for _ in range(worlds)]
        for _ in range(self.steps):
            taken, position = rollout(
                policy, dreams, position, 1, self.generator, self.options.temperature, self.epsilon
            )
            step = taken.steps[0]
            finals = iter(step.final_shown.cpu())
            for frames, obs, ended in zip(waiting, step.shown.cpu(), step.ended.tolist(), strict=True):
                frames.extend((next(finals), grey, obs) if ended else (obs,))
            yield torch.stack([frames.popleft() for frames in waiting])

    def _continue(self, windows: Batch) -> Iterator[tuple[Tensor, Tensor]]:
        """Real frames and dreams of B windows, (B, C, H, W) each at each step; what is over keeps its last frame."""
        windows = _repeat(windows, self.options.worlds) if self.options.same_start else windows
        first = windows.obs[:, self.model.context_length - 1]  # (B, C, H, W)
        yield first, first
        dreams = continue_dreams(self.model, windows.to(self.device), self.generator)
        pairs = [true_and_dream(dreams, i) for i in range(len(windows.obs))]
        shown = dreams.mask if self.options.beside_real else ~dream_over(dreams)  # (B, T)
        steps = int(shown.sum(dim=1).max())
        real, dream = (
            torch.stack([hold_last(f, steps) for f in films]) for films in zip(*pairs, strict=True)
        )
        yield from zip(real.unbind(1), dream.unbind(1), strict=True)

    def _real_windows(self) -> Batch:
        """Windows of what really happened: one for each dream, or one for all dreams that start alike."""
        if isinstance(self.starts, RecordedStarts):
            store, length = self.starts.store, self.model.context_length
            windows = draw_windows(store, self.num_starts, length, self.steps, self.rng)
            return with_actions_of(self.agent.action_spec, windows.batch, str(store.folder))
        played = [
            play_window(
                self.starts,
                self.steps,
                self.rng,
                actions=self.actor if isinstance(self.actor, Tensor) else None,
                temperature=self.options.temperature,
                epsilon=self.epsilon,
            )
            for _ in range(self.num_starts)
        ]
        return Batch.concatenate(played)


def _repeat(segment: Batch, count: int) -> Batch:
    return segment[torch.zeros(count, dtype=torch.int64)]
