"""Chance in dreams: how often a dream of MinAtar Breakout repeats an action by itself, as the game does.

Run with ``python benchmarks/chance.py RUN`` on a folder of ``adamas train quickstart``. In the game the paddle
follows the previous action instead of the present one with probability 0.1. Every sampler draws the next frame
of the same held-out steps, in which the two actions lead to different places.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import adamas
from adamas.core.types import Batch, SegmentSpec, to_model_range, to_pixels
from adamas.data import EpisodeStore, SegmentSampler
from adamas.diffusion.denoiser import sample
from adamas.diffusion.samplers import SamplerConfig

MOVES = torch.tensor([0, -1, 1])  # of the paddle, by action: stay, left, right
BOTTOM, LAST_COLUMN = 9, 9
DRAWS = 4_000  # held-out steps, before the telling ones are picked
EXACT = 64  # levels of 255 by which a pixel may be off

SAMPLERS = {
    "N = 1": SamplerConfig(num_steps=1),
    "N = 3": SamplerConfig(num_steps=3),
    "N = 1, EDM's start": SamplerConfig(num_steps=1, scale_initial_noise=True),
    "N = 2, EDM's start, sigma_min 1": SamplerConfig(num_steps=2, sigma_min=1.0, scale_initial_noise=True),
    "N = 3, EDM's start": SamplerConfig(num_steps=3, scale_initial_noise=True),
    "N = 3, EDM's start, sigma_min 0.5": SamplerConfig(num_steps=3, sigma_min=0.5, scale_initial_noise=True),
    "N = 8, EDM's start, sigma_min 0.5": SamplerConfig(num_steps=8, sigma_min=0.5, scale_initial_noise=True),
}


def main(run: Path) -> None:
    """Print a line for the game and one for every sampler."""
    agent = adamas.load(run, "cpu")
    steps, present, previous = telling_steps(run)
    print(f"{len(present):5d} held-out steps                  present  previous  elsewhere  exact")
    report("the game", steps.obs[:, -1], steps, present, previous)
    for name, sampler in SAMPLERS.items():
        generator = torch.Generator().manual_seed(0)
        past = to_model_range(steps.obs[:, :-1])
        frame = sample(agent.world_model.denoiser, past, steps.action, sampler, generator=generator)
        report(name, to_pixels(frame), steps, present, previous)


def telling_steps(run: Path) -> tuple[Batch, Tensor, Tensor]:
    """Steps (K, L + 1 frames) whose outcome tells which action was taken, and where the paddle then is, (K,) each."""
    store = EpisodeStore.open(run / "dataset" / "test")
    steps = SegmentSampler(store, None).sample(DRAWS, SegmentSpec(5), np.random.default_rng(0))
    paddle = column(steps.obs[:, -2])
    present = (paddle + MOVES[steps.action[:, -1]]).clamp(0, LAST_COLUMN)
    previous = (paddle + MOVES[steps.action[:, -2]]).clamp(0, LAST_COLUMN)
    keep = steps.mask.all(dim=1) & ~steps.terminated[:, -1] & (present != previous)
    return steps[keep], present[keep], previous[keep]


def column(frames: Tensor) -> Tensor:
    """Where the paddle is, the whitest pixel of the bottom row: (K, 3, 10, 10) -> (K,)."""
    return frames[:, :, BOTTOM].float().amin(dim=1).argmax(dim=1)


def report(name: str, frames: Tensor, steps: Batch, present: Tensor, previous: Tensor) -> None:
    """Print how often the paddle followed which action, and how often the frame is the game's."""
    paddle = column(frames)
    follows, repeats = (paddle == present).float().mean(), (paddle == previous).float().mean()
    off = (frames.int() - steps.obs[:, -1].int()).abs().flatten(1).amax(dim=1)
    exact = (off < EXACT).float().mean()
    print(f"{name:36s} {follows:8.3f} {repeats:9.3f} {abs(1 - follows - repeats):10.3f} {exact:6.3f}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python benchmarks/chance.py RUN")
    main(Path(sys.argv[1]))
