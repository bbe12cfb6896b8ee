"""The pieces of work that are timed. Each is done by the code that does it in a run."""

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
from adamas.rl.rollout import rollout, start
from adamas.training.build import new_run
from adamas.training.config import Config
from adamas.training.learning import context_sampler
from adamas.training.trainer import Trainer

REAL_STEPS = 600  # in the replay that models are trained on here
DRAWS = 32  # segments in one draw from the replay


@dataclass(frozen=True)
class Work:
    """Something to time."""

    do: Callable[[], object]
    units: int = 1
    """Frames, steps or draws that one call makes."""


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    work: Callable[[Trainer], Work]
    unit: str
    """What is counted."""
    needs: str = ""
    """What a run must have for this to be a part of it: a phase (:func:`~adamas.bench.contents.phases`), or "game"."""
    preset: str | None = None
    """Measured on this preset, whichever was asked for."""
    flops: Callable[[Flops], float] | None = None
    """Operations of one call; None where they are few, or differ from call to call."""


def rows_of(config: Config, agent: AgentConfig) -> tuple[str, ...]:
    """Rows of the table that a run of ``config`` has, for an agent of the sizes in ``agent``."""
    there = {"", *phases(config, agent), *(["game"] if config.data is None else [])}
    return tuple(name for name, row in ROWS.items() if row.needs in there)


def small_run(config: Config, folder: Path, group: Group = ALONE) -> Trainer:
    """A run with a few real steps in its replay, at the start of its first epoch; for rank 0 of its group.

    Recordings that are not at hand are made up, beside the new folder (:mod:`adamas.bench.contents`).
    """
    config = with_recordings(config, folder.with_name(f"{folder.name}-recordings"))
    collection = replace(
        config.collection,
        first_steps=REAL_STEPS,
        first_steps_max=REAL_STEPS,
        total_steps=10**9,  # never the last epoch, however often one is timed
    )
    config = replace(config, collection=collection, tensorboard=False, wandb_project=None)
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
    """Everything between two frames of a dream: policy, next frame, reward and end, fresh starts."""
    agent, sampler = trainer.agent, SegmentSampler(trainer.store)
    rng, generator = trainer.streams.numpy("bench"), trainer.streams.torch("bench", trainer.device)
    contexts = context_sampler(sampler, agent.world_model.context_length, rng, trainer.device)
    obs_shape, horizon = agent.config.obs_shape, trainer.config.policy.horizon
    dreams = Imagination(
        agent.world_model, contexts, batch_size, horizon, obs_shape, agent.action_spec, generator
    )
    with torch.no_grad():
        position = start(agent.actor_critic, dreams)

    @torch.no_grad()
    def step() -> None:
        nonlocal position
        _, position = rollout(agent.actor_critic, dreams, position, 1, generator)
        wait(trainer.device)

    return Work(step, batch_size)


def _update(trainer: Trainer, phase: str) -> Work:
    """One update; without a world model ("collect"), with the real steps that it learns from."""
    learn = trainer.phases[phase]
    learn.begin(1)

    def update() -> None:
        learn.update()
        wait(trainer.device)

    return Work(update)


def _epoch(trainer: Trainer) -> Work:
    """All updates of an epoch after the first, and its real steps; no evaluation."""

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
"""The row that times the updates of a phase, by phase."""
