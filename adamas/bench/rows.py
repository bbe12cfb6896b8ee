"""The pieces of work that are timed. Each is done by the code that does it in a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Generator

from adamas.core import runtime
from adamas.core.distributed import ALONE, Group
from adamas.core.types import SegmentSpec
from adamas.diffusion.samplers import SamplerConfig
from adamas.rl.imagination import Imagination
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
    preset: str | None = None
    """Measured on this preset, whichever was asked for."""


def small_run(config: Config, folder: Path, group: Group = ALONE) -> Trainer:
    """A run with a few real steps in its replay, at the start of its first epoch; for rank 0 of its group."""
    collection = replace(
        config.collection,
        first_steps=REAL_STEPS,
        first_steps_max=REAL_STEPS,
        total_steps=10**9,  # never the last epoch, however often one is timed
    )
    config = replace(config, collection=collection, tensorboard=False, wandb_project=None)
    trainer = new_run(config, folder, quiet=True, group=group)
    assert trainer.collect is not None  # a preset trains on a game
    trainer.collect.begin(0)
    for _ in range(trainer.collect.planned(0)):
        trainer.collect.update()
    return trainer


def _convolution(trainer: Trainer) -> Work:
    """As fast as this machine convolves: what the share of the peak is a share of."""
    conv = torch.nn.Conv2d(64, 64, 3, padding=1, device=trainer.device)
    runtime.place(conv, trainer.config.runtime, trainer.device)
    x = conv(torch.randn((8, 64, 64, 64), device=trainer.device)).detach()  # in the order of the weights

    @torch.no_grad()
    def convolve() -> None:
        for _ in range(8):
            conv(x)
        wait(trainer.device)

    return Work(convolve, 8)


def _denoiser_forward(trainer: Trainer, batch_size: int) -> Work:
    denoiser, config = trainer.agent.world_model.denoiser, trainer.agent.config
    generator = Generator(trainer.device).manual_seed(0)
    length = trainer.agent.world_model.context_length
    shape = (batch_size, length + 1, *config.obs_shape)
    frames = torch.randn(shape, generator=generator, device=trainer.device)
    action = torch.zeros((batch_size, length), dtype=torch.int64, device=trainer.device)

    @torch.no_grad()
    def forward() -> None:
        denoiser.path(frames[:, -1], frames[:, :-1], action, SamplerConfig(num_steps=1))
        wait(trainer.device)

    return Work(forward, batch_size)


def _dream_step(trainer: Trainer, batch_size: int) -> Work:
    """Everything between two frames of a dream: policy, next frame, reward and end, fresh starts."""
    agent, sampler = trainer.agent, trainer.phases["denoiser"].sampler  # type: ignore[attr-defined]
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
    assert trainer.collect is not None
    env = trainer.collect.collector.env
    env.reset()
    action = torch.zeros(env.num_envs, dtype=torch.int64)
    return Work(lambda: env.step(action), env.num_envs)


def _replay_draw(trainer: Trainer) -> Work:
    sampler = trainer.phases["denoiser"].sampler  # type: ignore[attr-defined]
    rng, spec = trainer.streams.numpy("bench"), SegmentSpec(num_frames=6)
    return Work(lambda: sampler.sample(DRAWS, spec, rng), DRAWS)


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


PEAK = "bare convolution"
ROWS: dict[str, Row] = {
    PEAK: Row(_convolution, "convolutions"),
    "denoiser forward, batch 1": Row(partial(_denoiser_forward, batch_size=1), "frames"),
    "denoiser forward, batch 32": Row(partial(_denoiser_forward, batch_size=32), "frames"),
    "dream step, batch 1": Row(partial(_dream_step, batch_size=1), "frames"),
    "dream step, batch 32": Row(partial(_dream_step, batch_size=32), "frames"),
    "denoiser update": Row(partial(_update, phase="denoiser"), "updates"),
    "reward/end update": Row(partial(_update, phase="reward_end"), "updates"),
    "actor-critic update": Row(partial(_update, phase="actor_critic"), "updates"),
    "quickstart epoch": Row(_epoch, "epochs", preset="quickstart"),
    "environment step": Row(_env_steps, "steps"),
    "replay draw": Row(_replay_draw, "segments"),
}
