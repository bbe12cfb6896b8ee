"""Which of the paper's choices matter: a denoiser for each ``ablation`` preset, all trained on the same recorded play.

``python benchmarks/ablations.py train DATA HELDOUT RESULTS --preset ablation-ddpm --seed 0`` trains a denoiser alone
on the episodes of MinAtar Breakout in ``DATA`` and dreams on from those in ``HELDOUT`` with every sampler in question,
under the actions that were really taken (after the end of an episode, random ones). ``python benchmarks/ablations.py
show RESULTS`` prints the table and draws the figure. Datasets are those of runs, or what ``adamas data record``
makes.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import matplotlib.pyplot as plt
import numpy as np
import torch
import tyro
from torch import Generator, Tensor

from adamas.core import runtime
from adamas.core.actions import ActionSpec
from adamas.core.seeding import Streams
from adamas.core.types import Batch, to_model_range, to_pixels
from adamas.core.workers import Workers
from adamas.data import EpisodeStore, SegmentSampler
from adamas.diffusion.denoiser import Denoiser, sample
from adamas.diffusion.samplers import SamplerConfig
from adamas.envs.minatar import BLACK, PALETTES
from adamas.fidelity.distances import EXACT_TOLERANCE, exact
from adamas.presets import preset
from adamas.training.config import Config
from adamas.training.update_phases import ComponentPhase
from adamas.world_models.diamond.world import Diamond

HORIZON, DREAMS = 100, 64
LONGEST_CONTEXT = 8  # all presets dream the same windows
STEPS = (1, 2, 3, 5, 10)
SAMPLERS = {f"N = {n}": SamplerConfig(num_steps=n) for n in STEPS} | {
    "N = 3, Heun": SamplerConfig(num_steps=3, method="heun"),
    "N = 3, from sigma_max": SamplerConfig(num_steps=3, scale_initial_noise=True),
    "N = 3, from sigma_max, sigma_min 0.5": SamplerConfig(
        num_steps=3, sigma_min=0.5, scale_initial_noise=True
    ),
    "N = 10, from sigma_max": SamplerConfig(num_steps=10, scale_initial_noise=True),
}
FEW = ("N = 1", "N = 3")
NUM_ACTIONS = 3
COLOURS = torch.tensor([BLACK, *PALETTES["breakout"].values()])  # (K, 3)


@dataclass(frozen=True)
class Train:
    """Train one denoiser, and measure its dreams."""

    data: Annotated[Path, tyro.conf.Positional]
    heldout: Annotated[Path, tyro.conf.Positional]
    results: Annotated[Path, tyro.conf.Positional]
    preset: str = "ablation"
    seed: int = 0
    updates: int = 1_500


@dataclass(frozen=True)
class Show:
    """Print the table of all results, and draw how dreams drift."""

    results: Annotated[Path, tyro.conf.Positional]
    figure: Path = Path("ablations.png")


def main(options: Train | Show) -> None:
    if isinstance(options, Show):
        return show(options)
    torch.set_num_threads(1)
    runtime.keep_freed_memory()
    config = replace(preset(options.preset), seed=options.seed, num_shards=1)
    data, heldout = EpisodeStore.open(options.data), EpisodeStore.open(options.heldout)
    since = time.perf_counter()
    denoiser, loss = train(config, data, options.updates)
    minutes = (time.perf_counter() - since) / 60
    compared = options.preset in ("ablation", "ablation-ddpm") or "no-offset" in options.preset
    samplers = {name: s for name, s in SAMPLERS.items() if compared or name in FEW}
    if config.world_model.denoiser.diffusion == "ddpm":
        samplers = {name: s for name, s in samplers.items() if s == SamplerConfig(num_steps=s.num_steps)}
    dreams = {name: measure(denoiser, heldout, sampler) for name, sampler in samplers.items()}
    result = {
        "preset": options.preset,
        "seed": options.seed,
        "loss": loss,
        "minutes": minutes,
        "dreams": dreams,
    }
    options.results.mkdir(parents=True, exist_ok=True)
    file = options.results / f"{options.preset}-{options.seed}.json"
    file.write_text(json.dumps(result))
    print(f"{file}: loss {loss:.4f} after {options.updates} updates in {minutes:.1f} minutes", flush=True)


def train(config: Config, data: EpisodeStore, updates: int) -> tuple[Denoiser, float]:
    """The averaged denoiser after so many updates as a run makes them, and the mean loss of the last hundred."""
    game = config.game_parts
    assert game is not None  # every ablation preset has one
    streams = Streams(config.seed)
    torch.manual_seed(config.seed)
    world_model = Diamond(config.world_model, data.obs_shape, ActionSpec.numbered(NUM_ACTIONS))
    runtime.place(world_model, config.runtime, torch.device("cpu"))
    trained = copy.deepcopy(world_model)  # its average, world_model, is what dreams
    component = trained.components(config.horizon)["denoiser"]
    phase = ComponentPhase(
        component,
        world_model.denoiser,
        config.training.denoiser,
        SegmentSampler(data, game.collection.age_weights, game.collection.episode_weighting),
        streams.numpy("denoiser"),
        [streams.torch("denoiser")],
        Workers(1),
    )
    losses = [float(phase.update()["loss"]) for _ in range(updates)]
    return world_model.denoiser, float(np.mean(losses[-100:]))


@torch.no_grad()
def measure(
    denoiser: Denoiser, heldout: EpisodeStore, sampler: SamplerConfig
) -> dict[str, list[float | None]]:
    """By step: mean squared error and share of exact frames while the game goes on; share of cells of no colour."""
    windows, action = windows_of(heldout)
    length = denoiser.config.network.context_length
    frames = list(to_model_range(windows.obs[:, :LONGEST_CONTEXT]).unbind(1))
    generator = Generator().manual_seed(0)
    found: dict[str, list[float | None]] = {"error": [], "exact": [], "off": []}
    for t in range(LONGEST_CONTEXT, LONGEST_CONTEXT + HORIZON):
        past = torch.stack(frames[-length:], dim=1)
        frames.append(sample(denoiser, past, action[:, t - length : t], sampler, generator=generator))
        drawn, alive = to_pixels(frames[-1]), windows.mask[:, t]
        error = ((drawn.float() - windows.obs[:, t]) / 255).square().mean(dim=(1, 2, 3))
        found["error"].append(float(error[alive].mean()) if alive.any() else None)
        found["exact"].append(
            float(exact(drawn, windows.obs[:, t])[alive].float().mean()) if alive.any() else None
        )
        found["off"].append(float(off_palette(drawn).float().mean()))
    return found


def windows_of(heldout: EpisodeStore) -> tuple[Batch, Tensor]:
    """Beginnings of held-out episodes and what followed, with whole contexts; actions of all steps, (B, T)."""
    rng = np.random.default_rng(0)
    transitions = np.maximum(heldout.lengths - LONGEST_CONTEXT, 0)
    episode = rng.choice(len(transitions), size=DREAMS, p=transitions / transitions.sum())
    start = rng.integers(transitions[episode])
    windows = heldout.read(episode, start, LONGEST_CONTEXT + HORIZON)
    others = torch.from_numpy(rng.integers(NUM_ACTIONS, size=windows.action.shape))
    return windows, torch.where(windows.transition_mask, windows.action, others)


def off_palette(frames: Tensor) -> Tensor:
    """(B, H, W) bool: which pixels of (B, 3, H, W) uint8 frames have no colour of the game."""
    distance = (frames[:, None].int() - COLOURS[None, :, :, None, None]).abs().amax(dim=2)  # (B, K, H, W)
    return distance.amin(dim=1) > EXACT_TOLERANCE


# --- what came out -----------------------------------------------------------------------------------------


COLUMNS = {
    "exact frames, step 1": ("exact", 1),
    "step 10": ("exact", 10),
    "squared distance, step 10": ("error", 10),
    "step 50": ("error", 50),
    "cells of no colour, step 10": ("off", 10),
    "step 100": ("off", 100),
}


def show(options: Show) -> None:
    """A line for every preset and sampler: mean over seeds (least to most)."""
    results = [json.loads(file.read_text()) for file in sorted(options.results.glob("*.json"))]
    print("| preset | drawn by | " + " | ".join(COLUMNS) + " |")
    print("| --- " * (2 + len(COLUMNS)) + "|")
    for name in dict.fromkeys(result["preset"] for result in results):
        runs = [result["dreams"] for result in results if result["preset"] == name]
        for sampler in runs[0]:
            cells = [
                spread([run[sampler][what][step - 1] for run in runs]) for what, step in COLUMNS.values()
            ]
            print(f"| `{name}` ({len(runs)}) | {sampler} | " + " | ".join(cells) + " |")
    draw(results, options.figure)


def spread(values: Sequence[float]) -> str:
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def draw(results: Sequence[dict[str, object]], file: Path) -> None:
    """Share of cells of no colour by step, one panel for each kind of diffusion, one line for each N."""
    shown = ("ablation", "ablation-no-offset", "ablation-ddpm", "ablation-ddpm-no-offset")
    figure, axes = plt.subplots(
        2, len(shown), figsize=(13, 5.2), sharex=True, sharey="row", layout="constrained"
    )
    for column, name in enumerate(shown):
        runs = [result["dreams"] for result in results if result["preset"] == name]
        for n, colour in zip(STEPS, plt.get_cmap("viridis")(np.linspace(0, 0.9, len(STEPS))), strict=True):
            for row, what in enumerate(("off", "error")):
                curves = np.array([run[f"N = {n}"][what] for run in runs], dtype=float)  # type: ignore[index]
                x = np.arange(1, HORIZON + 1)
                axes[row, column].plot(x, curves.mean(0), color=colour, label=f"N = {n}")
                axes[row, column].fill_between(
                    x, curves.min(0), curves.max(0), color=colour, alpha=0.15, linewidth=0
                )
        axes[0, column].set_title(
            name.removeprefix("ablation").strip("-").replace("-", " ") or "edm (the paper)"
        )
        axes[1, column].set_xlabel("step of the dream")
    axes[0, 0].set(ylabel="share of cells of no colour", yscale="log", ylim=(3e-4, 1))
    axes[1, 0].set_ylabel("squared distance to the game")
    axes[0, 0].legend(frameon=False)
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    main(tyro.cli(Train | Show))  # type: ignore[arg-type]
