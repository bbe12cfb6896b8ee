"""The workloads of the benchmark table. Each calls the same code as a training run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Generator

from adamas.agent import Agent
from adamas.bench.accelerator import wait
from adamas.bench.contents import phases, with_recordings
from adamas.bench.flops import Flops
from adamas.core.distributed import ALONE, Group
from adamas.core.runtime import fixed_shapes
from adamas.core.types import SegmentSpec
from adamas.data.sampling import SegmentSampler
from adamas.dreaming.imagination import Imagination
from adamas.rl.random_policy import RandomPolicy
from adamas.rl.rollout import rollout, start
from adamas.training.build import new_run
from adamas.training.config import Config
from adamas.training.trainer import Trainer
from adamas.training.update_phases import ComponentPhase, context_sampler

REAL_STEPS = 600  # steps in the replay buffer of the small run
DRAWS = 32  # segments per draw from the replay buffer
BATCH_SIZES = (1, 32)  # of dreams


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
    preset: str | None = None
    """If given, the row is always measured on this preset."""
    flops: Callable[[Flops], float] | None = None
    """Floating-point operations of one call; None if they are few, or differ from call to call."""


def rows_of(config: Config, agent: Agent) -> dict[str, Row]:
    """The rows that apply to a run of ``config`` by their names, given its agent, which may have no values."""
    rows: dict[str, Row] = {}
    if config.imagination == "on":
        for name in agent.world_model.example_calls(1, Generator()):
            rows |= {f"{_title(name)} forward, batch {b}": _forward_row(name, b) for b in BATCH_SIZES}
        rows |= {f"dream step, batch {b}": _dream_row(b) for b in BATCH_SIZES}
    rows |= {update_row(phase): _update_row(phase) for phase in phases(config, agent)}
    if config.data is None:
        rows["environment step"] = Row(_env_steps, "steps")
    if config.imagination == "on":
        rows["replay draw"] = Row(_replay_draw, "segments")
    rows["quickstart epoch"] = Row(_epoch, "epochs", preset="quickstart")
    return rows


def update_row(phase: str) -> str:
    """The name of the row that times updates of a phase."""
    return f"{'model-free' if phase == 'collect' else _title(phase)} update"


def _title(name: str) -> str:
    return name.replace("_", "-")


def _forward_row(name: str, batch_size: int) -> Row:
    work = partial(_forward, name=name, batch_size=batch_size)
    return Row(work, "frames", flops=lambda counted: batch_size * counted.calls[name])


def _dream_row(batch_size: int) -> Row:
    work = partial(_dream_step, batch_size=batch_size)
    return Row(work, "frames", flops=lambda counted: batch_size * counted.dream_step)


def _update_row(phase: str) -> Row:
    return Row(partial(_update, phase=phase), "updates", flops=lambda counted: counted.updates[phase])


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


def _forward(trainer: Trainer, name: str, batch_size: int) -> Work:
    call = trainer.agent.world_model.example_calls(batch_size, Generator().manual_seed(0))[name]

    @torch.no_grad()
    def forward() -> None:
        with fixed_shapes():
            call.network(*call.inputs)
        wait(trainer.device)

    return Work(forward, batch_size)


def _dream_step(trainer: Trainer, batch_size: int) -> Work:
    """One step of dreams: policy (random actions if there is none), next frame, reward and end, and restarts."""
    agent, sampler = trainer.agent, SegmentSampler(trainer.store)
    rng, generator = trainer.streams.numpy("bench"), trainer.streams.torch("bench", trainer.device)
    contexts = context_sampler(sampler, agent.world_model.contexts, rng, trainer.device)
    obs_shape, horizon = agent.config.obs_shape, trainer.config.horizon
    dreams = Imagination(
        agent.world_model, contexts, batch_size, horizon, obs_shape, agent.action_spec, generator
    )
    policy = agent.actor_critic or RandomPolicy(agent.action_spec)
    with torch.no_grad():
        position, _ = start(policy, dreams)

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
    phase = next(phase for phase in trainer.phases.values() if isinstance(phase, ComponentPhase))
    rng, spec = trainer.streams.numpy("bench"), SegmentSpec(num_frames=6)
    return Work(lambda: phase.sampler.sample(DRAWS, spec, rng), DRAWS)
