"""What bf16 costs: the network's output, dreams of 50 steps, and whole runs, beside fp32.

``python benchmarks/bf16.py dreams RUN`` compares on a trained run's held-out episodes;
``python benchmarks/bf16.py train quickstart --seed 1`` is ``adamas train`` in bf16. Where the processor lacks bf16,
convolutions and linear layers are computed in fp32 on factors rounded to bf16, and the result is rounded: what
the instructions do, up to the order of summation. That is slower than fp32, so it tells nothing of speed.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

import adamas
from adamas.agent import Agent
from adamas.cli import run as command
from adamas.core import runtime
from adamas.core.process import run_command
from adamas.core.runtime import RuntimeConfig
from adamas.core.types import Batch, SegmentSpec, to_model_range
from adamas.data import EpisodeStore, SegmentSampler
from adamas.dreaming.continuation import continue_dreams
from adamas.evaluation.evaluate import bootstrap_interval
from adamas.fidelity.distances import exact

HORIZON = 50
WINDOWS = 512
SHOWN = (1, 10, 25, 50)  # steps
SIGMAS = (0.01, 0.1, 0.5, 1.0, 5.0)


def dreams(run: Path) -> None:
    """Print the relative error of the network's output, and the distance of dreams from the game."""
    agent = adamas.load(run, "cpu")
    length = agent.world_model.context_length
    store = EpisodeStore.open(run / "dataset" / "test")
    windows = SegmentSampler(store, None).sample(
        WINDOWS, SegmentSpec(length + HORIZON), np.random.default_rng(0)
    )
    # Windows may begin before their episode does; dreams need their whole context.
    windows = windows[windows.mask[:, : length + 1].all(dim=1)]
    outputs = {precision: network_outputs(agent, windows, precision) for precision in ("fp32", "bf16")}
    for sigma, plain, close in zip(SIGMAS, *outputs.values(), strict=True):
        error = (close - plain).norm() / plain.norm()
        print(f"network output at sigma {sigma:4g}: relative error {error:.2%}")
    truth = {
        (precision, seed): distance(agent, windows, precision, seed)
        for precision, seed in (("fp32", 0), ("bf16", 0), ("fp32", 1))
    }
    print("distance from the game's frames, and how far it is from that of fp32, same noise [95 % interval]")
    for what, index in (("mean squared error", 0), ("frames not exact", 1)):
        for step in SHOWN:
            plain = truth["fp32", 0][index][:, step - 1]
            alive = ~plain.isnan()
            line = f"{what}, step {step:2d} ({int(alive.sum())} dreams): fp32 {plain[alive].mean():.5f}"
            for name, key in (("bf16", ("bf16", 0)), ("fp32, other noise", ("fp32", 1))):
                difference = (truth[key][index][:, step - 1] - plain)[alive].double().numpy()
                line += f"   {name} {difference.mean():+.5f}"
                if (interval := bootstrap_interval(difference, 0)) is not None:
                    line += " [{:+.5f}, {:+.5f}]".format(*interval)
            print(line)


@torch.no_grad()
def network_outputs(agent: Agent, windows: Batch, precision: str) -> list[Tensor]:
    """The denoiser network's output at several noise levels, for one and the same noise."""
    use(precision)
    denoiser, length = agent.world_model.denoiser, agent.world_model.context_length
    obs = to_model_range(windows.obs)
    noise = torch.randn(obs[:, length].shape, generator=Generator().manual_seed(0))
    outputs = []
    for sigma in SIGMAS:
        noisy, cond = obs[:, length] + sigma * noise, denoiser.conditioners(torch.tensor(sigma))
        outputs.append(denoiser.network_output(noisy, cond, obs[:, :length], windows.action[:, :length]))
    return outputs


def distance(agent: Agent, windows: Batch, precision: str, seed: int) -> tuple[Tensor, Tensor]:
    """(B, T) mean squared errors in [0, 1] of dreamt frames, and whether they are not exact; nan after the end."""
    use(precision)
    continuation = continue_dreams(agent.world_model, windows, Generator().manual_seed(seed))
    error = (continuation.obs.float() - continuation.true_obs.float()) / 255
    wrong = ~exact(continuation.obs, continuation.true_obs)
    gone = ~continuation.mask
    per_frame = error.square().mean(dim=(-3, -2, -1))
    return per_frame.masked_fill(gone, torch.nan), wrong.float().masked_fill(gone, torch.nan)


def use(precision: str) -> None:
    """Compute in ``precision`` from here on."""
    runtime.setup(replace(RuntimeConfig(device="cpu"), precision=precision))


def emulate() -> None:
    """Make convolutions and linear layers round as bf16 instructions do, where autocast asks for bf16."""
    convolve, multiply = nn.Conv2d._conv_forward, nn.Linear.forward

    def rounded(x: Tensor | None) -> Tensor | None:
        return None if x is None else x.bfloat16().float()

    def conv_forward(self: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not torch.is_autocast_enabled("cpu"):
            return convolve(self, x, weight, bias)
        with torch.autocast("cpu", enabled=False):
            return convolve(self, rounded(x), rounded(weight), rounded(bias)).bfloat16()

    def linear_forward(self: nn.Linear, x: Tensor) -> Tensor:
        if not torch.is_autocast_enabled("cpu"):
            return multiply(self, x)
        with torch.autocast("cpu", enabled=False):
            return F.linear(rounded(x), rounded(self.weight), rounded(self.bias)).bfloat16()

    nn.Conv2d._conv_forward = conv_forward
    nn.Linear.forward = linear_forward


if __name__ == "__main__":
    if not runtime.multiplies_bf16():
        emulate()
    match sys.argv[1:]:
        case ["dreams", folder]:
            dreams(Path(folder))
        case ["train", *arguments]:
            run_command(lambda: command(["train", *arguments, "--runtime.precision", "bf16"]))
        case _:
            sys.exit("usage: python benchmarks/bf16.py dreams RUN | train PRESET ...")
