"""What each preset is for, and what a run of it takes."""

from __future__ import annotations

from dataclasses import dataclass

NOT_MEASURED = "-"


@dataclass(frozen=True)
class Facts:
    """What a preset is for and what a run of it takes.

    Attributes:
        purpose: what it is for.
        hardware: what it is meant to run on.
        time: duration of a run there, where it was measured.
        memory: the process's peak memory there, where it was measured.
    """

    purpose: str
    hardware: str
    time: str = NOT_MEASURED
    memory: str = NOT_MEASURED


CORES = "2 CPU cores"
FACTS = {
    "quickstart": Facts("learn MinAtar Breakout in dreams", CORES, "12 min", "0.8 GB"),
    "quickstart-long": Facts("the same, to a higher score", CORES, "40 min", "0.8 GB"),
    "atari-small": Facts("try the whole pipeline on an Atari game, at 32x32", CORES, "30 min"),
    "atari100k": Facts("the paper's Atari 100k benchmark, in full", "1 GPU"),
    "iris-quickstart": Facts("learn MinAtar Breakout in dreams of IRIS", CORES, "14 min", "0.8 GB"),
    "iris-atari100k": Facts("the Atari 100k benchmark as IRIS did it, in full", "1 GPU"),
    "car-racing": Facts("try continuous control: Gymnasium's race track", CORES),
    "cartpole": Facts("try continuous control: a pole on a cart", CORES),
    "static-small": Facts("learn a world model of recordings of about 32x32", CORES),
    "static": Facts("learn a world model of recordings of about 64x64", CORES, "100 min"),
    "vizdoom": Facts("learn a ViZDoom maze from recordings, at 120x160", CORES, "36 min"),
    "driving": Facts("learn the race track from recordings, at 96x96", CORES, "29 min"),
    "csgo": Facts("the published world model of CS:GO, in full", "several GPUs"),
    "debug": Facts("check the installation", "1 CPU core", "1 min", "0.5 GB"),
    "ablation": Facts("quickstart with the paper's noise, targets and sampler", CORES),
    "ablation-no-offset": Facts("without offset noise", CORES),
    "ablation-ddpm": Facts("DDPM instead of EDM", CORES),
    "ablation-ddpm-no-offset": Facts("DDPM without offset noise", CORES),
    "ablation-context-2": Facts("2 past frames instead of 4", CORES),
    "ablation-context-8": Facts("8 past frames instead of 4", CORES),
    "ablation-cross-attention": Facts("past frames by cross-attention", CORES),
    "ablation-one-target": Facts("1 training target a segment instead of 2", CORES),
    "ablation-four-targets": Facts("4 training targets a segment instead of 2", CORES),
    "ablation-not-quantised": Facts("denoised estimates not rounded to 256 levels", CORES),
}
"""Times and memory were measured on two cores of an AMD EPYC, those of IRIS of an Intel Xeon; see docs/performance.md,
docs/scenes.md and docs/world_models.md."""
