"""The workloads of the benchmark table. Each calls the same code as a training run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Generator

from adamas.agent import AgentConfig
from adamas.bench.accelerator import wait
from adamas.bench.contents import phases, with_recordings
from adamas.bench.flops import Flops
from adamas.core.distributed import ALONE, Group
from adamas.core.types import SegmentSpec
from adamas.data.sampling import SegmentSampler
from adamas.diffusion.samplers import SamplerConfig
from adamas.dreaming.imagination import Imagination
from adamas.rl.random_policy import RandomPolicy
from adamas.rl.rollout import rollout, start
from adamas.training.build import new_run
from adamas.training.config import Config
from adamas.training.trainer import Trainer
from adamas.training.update_phases import context_sampler

REAL_STEPS = 600  # steps in the replay buffer of the small run
DRAWS = 32  # segments per draw from the replay buffer


@dataclass(frozen=True)
class Work:
    """A function to time."""

    do: Callable[[], object]
    units: int = 1
    """Number of frames, steps or segments per call."""


@dataclass(frozen=True)
class Row:
    """A row of the benchmark table."""

    work: Callable[[Trainer], Work]
    unit: str
    """Name of the unit that is counted, such as "frames"."""
    needs: str = ""
    """The row applies to runs that have this phase (:func:`~adamas.bench.contents.phases`), or play a game ("game")."""
    preset: str | None = None
    """If given, the row is always measured on this preset."""
    flops: Callable[[Flops], float] | None = None
    """Floating-point operations of one call; None if they are few, or differ from call to call."""


def rows_of(config: Config, agent: AgentConfig) -> tuple[str, ...]:
    """Names of the rows that apply to a run of ``config``, for an agent of the sizes in ``agent``."""
    there = {"", *phases(config, agent), *(["game"] if config.data is None else [])}
    return tuple(name for name, row in ROWS.items() if row.needs in there)


def small_run(config: Config, folder: Path, group: Group = ALONE) -> Trainer:
    """Start a run with :data:`REAL_STEPS` steps in its replay buffer, in its first epoch; for rank 0 of its group.

    Missing recordings are replaced by synthetic ones, beside the new folder (:mod:`adamas.bench.contents`).
    """
    config = with_recordings(config, folder.with_name(f"{folder.name}-recordings"))
    if config.collection is not None:
        collection = replace(
            config.collection,
            first_steps=REAL_STEPS,
            first_steps_max=REAL_STEPS,
            total_steps=10**9,  # no timed epoch is the last one
        )
        config = replace(config, collection=collection)
    config = replace(config, tensorboard=False, wandb_project=None)
    trainer = new_run(config, folder, quiet=True, group=group)
    if trainer.collect is not None:
        trainer.collect.begin(0)
        for _ in range(trainer.collect.planned(0)):
            trainer.collect.update()
    return trainer


def _denoiser_forward(trainer: Trainer, batch_size: int) -> Work:
    denoiser, config = trainer.agent.world_model.denoiser, trainer.agent.config
    generator = Generator(trainer.device).manual_seed(0)
    length, spec = trainer.agent.world_model.context_length, trainer.agent.action_spec
    shape = (batch_size, length + 1, *config.world_model.small_shape(config.obs_shape))
    frames = torch.randn(shape, generator=generator, device=trainer.device)
    action = torch.zeros((batch_size, length, *spec.shape), dtype=spec.dtype, device=trainer.device)

    @torch.no_grad()
    def forward() -> None:
        denoiser.path(frames[:, -1], frames[:, :-1], action, SamplerConfig(num_steps=1))
        wait(trainer.device)

    return Work(forward, batch_size)


def _dream_step(trainer: Trainer, batch_size: int) -> Work:
    """One step of dreams: policy (random actions if there is none), next frame, reward and end, and restarts."""
    agent, sampler = trainer.agent, SegmentSampler(trainer.store)
    rng, generator = trainer.streams.numpy("bench"), trainer.streams.torch("bench", trainer.device)
    contexts = context_sampler(sampler, agent.world_model.context_length, rng, trainer.device)
    obs_shape, horizon = agent.config.obs_shape, trainer.config.horizon
    dreams = Imagination(
        agent.world_model, contexts, batch_size, horizon, obs_shape, agent.action_spec, generator
    )
    policy = agent.actor_critic or RandomPolicy(agent.action_spec)
    with torch.no_grad():
        position = start(policy, dreams)

    @torch.no_grad()
    def step() -> None:
        nonlocal position
        _, position = rollout(policy, dreams, position, 1, generator)
        wait(trainer.device)

    return Work(step, batch_size)


def _update(trainer: Trainer, phase: str) -> Work:
    """One update of a phase. In runs without a world model ("collect"), it includes the real steps to learn from."""
    learn = trainer.phases[phase]
    learn.begin(1)

    def update() -> None:
        learn.update()
        wait(trainer.device)

    return Work(update)


def _epoch(trainer: Trainer) -> Work:
    """All updates and real steps of the second epoch, without evaluation."""

    def epoch() -> None:
        for name, phase in trainer.phases.items():
            if name != "evaluate":
                phase.begin(2)
                for _ in range(phase.planned(2)):
                    phase.update()
        wait(trainer.device)

    return Work(epoch)


def _env_steps(trainer: Trainer) -> Work:
    assert trainer.collect is not None  # the row needs a game
    env = trainer.collect.collector.env
    env.reset()
    spec = env.action_spec
    action = torch.zeros((env.num_envs, *spec.shape), dtype=spec.dtype)
    return Work(lambda: env.step(action), env.num_envs)


def _replay_draw(trainer: Trainer) -> Work:
    sampler = trainer.phases["denoiser"].sampler  # type: ignore[attr-defined]
    rng, spec = trainer.streams.numpy("bench"), SegmentSpec(num_frames=6)
    return Work(lambda: sampler.sample(DRAWS, spec, rng), DRAWS)


def _update_row(phase: str) -> Row:
    return Row(partial(_update, phase=phase), "updates", phase, flops=lambda f: f.updates[phase])


ROWS: dict[str, Row] = {
    "denoiser forward, batch 1": Row(
        partial(_denoiser_forward, batch_size=1), "frames", "denoiser", flops=lambda f: f.denoiser
    ),
    "denoiser forward, batch 32": Row(
        partial(_denoiser_forward, batch_size=32), "frames", "denoiser", flops=lambda f: 32 * f.denoiser
    ),
    "dream step, batch 1": Row(
        partial(_dream_step, batch_size=1), "frames", "denoiser", flops=lambda f: f.dream_step
    ),
    "dream step, batch 32": Row(
        partial(_dream_step, batch_size=32), "frames", "denoiser", flops=lambda f: 32 * f.dream_step
    ),
    "denoiser update": _update_row("denoiser"),
    "reward/end update": _update_row("reward_end"),
    "upsampler update": _update_row("upsampler"),
    "actor-critic update": _update_row("actor_critic"),
    "model-free update": _update_row("collect"),
    "environment step": Row(_env_steps, "steps", "game"),
    "replay draw": Row(_replay_draw, "segments", "denoiser"),
    "quickstart epoch": Row(_epoch, "epochs", preset="quickstart"),
}
UPDATE_ROWS = {row.needs: name for name, row in ROWS.items() if name.endswith(" update")}
"""Names of the rows that time updates, by phase."""
