"""What a GPU makes of this code: whether it computes the same as a CPU, how fast, and whether runs survive there.

``python benchmarks/gpu.py`` takes at most eight minutes, prints a table and writes ``gpu.json``; docs/performance.md
says what it measures. ``--tiny`` tries the script itself, with tiny networks on a CPU and nothing compiled. The exit
code is 1 if anything is wrong with the results, 2 if there is no GPU.

Every part runs in a process of its own, with a limit of its own, so that none can take the others down or hold them up.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from adamas.bench.accelerator import cuda_details, device_name, reset_peak_memory
from adamas.bench.agreement import (
    TOLERANCES,
    cuda_graph_results,
    fixed_agent,
    network_results,
    relative_error,
)
from adamas.bench.contents import phases
from adamas.bench.finding import Finding
from adamas.bench.guarded import Outcome, guarded
from adamas.bench.real_runs import cycling, kill_and_resume, train_for
from adamas.bench.worker import Bench
from adamas.bench.workloads import small_run, update_row
from adamas.core import runtime
from adamas.core.actions import ActionSpec
from adamas.core.config import with_value
from adamas.core.console import console
from adamas.core.errors import UserError
from adamas.core.files import write_file
from adamas.core.process import run_command
from adamas.core.runtime import RuntimeConfig
from adamas.diffusion.samplers import SamplerConfig
from adamas.diffusion.upsampler import UpsamplerConfig
from adamas.evaluation.provenance import provenance
from adamas.nn.optim import OptimizerConfig
from adamas.nn.unet import FrameNetworkConfig
from adamas.presets import paper, preset
from adamas.training.config import Config
from adamas.training.source import agent_for

EAGER = RuntimeConfig(compile=False, memory_format="channels_last")
CONTIGUOUS = replace(EAGER, memory_format="contiguous")
COMPILED = replace(EAGER, precision="tf32", compile=True)
MODES: dict[str, RuntimeConfig] = {
    "auto": RuntimeConfig(),
    "fp32": replace(EAGER, precision="fp32"),
    "tf32": replace(EAGER, precision="tf32"),
    "bf16": replace(EAGER, precision="bf16"),
    "tf32, contiguous": replace(CONTIGUOUS, precision="tf32"),
    "bf16, contiguous": replace(CONTIGUOUS, precision="bf16"),
    "compiled (tf32)": COMPILED,
    "graphs (tf32)": COMPILED,
}
"""auto is what a run does by itself. Dreams of compiled networks replay CUDA graphs in every part; "graphs" is the mode
in which what they replay is compared with a CPU's outputs."""
LEAST_SECONDS = 5.0  # with less left, no part is begun
DREAM_ROWS = ("dream step, batch 1", "dream step, batch 32")


@dataclass(frozen=True)
class Sizes:
    """What is measured, and for how long."""

    device: str
    atari: Config
    scenes: Config
    training: Config
    measure_seconds: float  # for each piece of work
    training_seconds: float


def full() -> Sizes:
    """The paper's configuration and the published one of CS:GO, on the current GPU."""
    atari = replace(preset("atari100k"), tensorboard=False)
    training = cycling(atari, denoiser=60, reward_end=30, actor_critic=10)
    for name in ("first_steps", "first_steps_max"):
        training = with_value(training, f"collection.{name}", 400)
    return Sizes("cuda", atari, preset("csgo"), training, 2.0, 60.0)


def tiny() -> Sizes:
    """The same parts, on a CPU, in seconds."""
    config = small_game()
    network = FrameNetworkConfig(
        context_length=1, cond_channels=8, depths=(1,), channels=(8,), attn_depths=(False,)
    )
    upsampler = UpsamplerConfig(network=network, factor=2, sampler=SamplerConfig(num_steps=1))
    model, parts = paper.parts(config)
    scenes = replace(
        config,
        world_model=replace(model, reward_end=None, upsampler=upsampler),
        training=replace(parts, reward_end=None, upsampler=parts.denoiser),
    )
    quick = OptimizerConfig(lr=3e-3, warmup_updates=0, max_grad_norm=100.0)
    training = cycling(config, denoiser=20, reward_end=20, actor_critic=1)
    for name in ("denoiser", "reward_end"):
        training = with_value(training, f"training.{name}.optimizer", quick)
    return Sizes("cpu", config, scenes, training, 0.0, 60.0)  # it trains to its end, much sooner


def small_game() -> Config:
    """The debug preset without evaluations."""
    return replace(cycling(preset("debug"), denoiser=3, reward_end=3, actor_critic=3), tensorboard=False)


def in_mode(config: Config, device: str, mode: str) -> Config:
    return replace(config, runtime=replace(MODES[mode], device=device))


# --- the parts --------------------------------------------------------------------------------------------------


def machine(name: str) -> Iterator[dict[str, Any]]:
    device = runtime.choose_device(name)
    details = asdict(cuda_details()) if device.type == "cuda" else {}
    yield {"device": device_name(device), **details, "provenance": asdict(provenance())}


def agreement(sizes: Sizes, mode: str) -> Iterator[Finding]:
    """Outputs and gradients beside those of a CPU in fp32, for the same weights and inputs."""
    config, spec = sizes.atari, ActionSpec.numbered(18)
    game = config.game_parts
    assert game is not None
    agent = fixed_agent(agent_for(config, game.env.obs_shape, spec))
    compute = cuda_graph_results if mode.startswith("graphs") else network_results
    given = []
    for settings in (in_mode(config, "cpu", "fp32").runtime, in_mode(config, sizes.device, mode).runtime):
        runtime.place(agent, settings, runtime.setup(settings))
        given.append(compute(agent))
    reference, ours = given
    tolerance = TOLERANCES[MODES[mode].precision]
    for network, expected in reference.items():
        for kind in ("outputs", "gradients") if expected.gradients else ("outputs",):
            error = relative_error(getattr(ours[network], kind), getattr(expected, kind))
            limit = getattr(tolerance, kind)
            yield Finding(
                what=f"{network}, {kind}",
                result=f"{error:.1e}",
                limit=f"{limit:.0e}",
                verdict="pass" if error <= limit else "fail",
                numbers={"error": error if math.isfinite(error) else None},
            )


def speed(sizes: Sizes, config: Config, mode: str) -> Iterator[Finding]:
    """Updates a second and their memory, and frames a second of dreams."""
    config = in_mode(config, sizes.device, mode)
    with tempfile.TemporaryDirectory() as folder, closing(small_run(config, Path(folder) / "run")) as trainer:
        bench = Bench(trainer)
        for row in (*(update_row(phase) for phase in phases(config, trainer.agent)), *DREAM_ROWS):
            reset_peak_memory(trainer.device)
            began = time.perf_counter()
            measured = bench.measure(row, sizes.measure_seconds)
            per_second, peak = measured.units / measured.median, measured.peak_bytes
            first = time.perf_counter() - began - sum(measured.seconds)
            yield Finding(
                what=row,
                result=f"{per_second:,.3g} a second, {peak / 1e9:.2f} GB",
                verdict="measured",
                numbers={"per_second": per_second, "peak_bytes": peak, "first_seconds": first},
            )


def resume(sizes: Sizes) -> Iterator[Finding]:
    return kill_and_resume(in_mode(small_game(), sizes.device, "tf32"))


def train(sizes: Sizes) -> Iterator[Finding]:
    return train_for(in_mode(sizes.training, sizes.device, "auto"), sizes.training_seconds)


# --- all of them ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """A part in a mode, and the seconds that it may take."""

    part: str
    mode: str
    work: Callable[[], Iterator[Finding]]
    seconds: float
    judges: bool = False  # whether results can be wrong here


def tasks(sizes: Sizes) -> list[Task]:
    """In the order of their worth: the last ones go when time is short."""

    def compare(mode: str, seconds: float) -> Task:
        return Task("beside the CPU", mode, partial(agreement, sizes, mode), seconds, judges=True)

    def measure(name: str, config: Config, mode: str, seconds: float) -> Task:
        return Task(f"speed, {name}", mode, partial(speed, sizes, config, mode), seconds)

    return [
        *(compare(mode, 40) for mode in ("fp32", "tf32", "bf16")),
        *(measure("atari100k", sizes.atari, mode, 60) for mode in ("auto", "tf32", "bf16")),
        Task("killed and resumed", "tf32", partial(resume, sizes), 120, judges=True),
        Task("training", "auto", partial(train, sizes), sizes.training_seconds + 40, judges=True),
        compare("compiled (tf32)", 100),
        compare("graphs (tf32)", 60),
        measure("atari100k", sizes.atari, "compiled (tf32)", 100),
        *(measure("csgo", sizes.scenes, mode, 60) for mode in ("bf16", "tf32")),
        *(
            measure("atari100k", sizes.atari, mode, 40)
            for mode in ("tf32, contiguous", "bf16, contiguous", "fp32")
        ),
        *(measure("csgo", sizes.scenes, mode, 60) for mode in ("fp32", "compiled (tf32)")),
    ]


def main(options: argparse.Namespace) -> int:
    """Do all that there is time for; the exit code."""
    began = time.monotonic()
    out, chosen = options.out, tasks(tiny() if options.tiny else full())
    if out.exists() or not out.parent.is_dir():
        raise UserError(f"{out} exists, or its folder does not; choose another file with --out")
    if not options.minutes > 0:
        raise UserError(f"--minutes is {options.minutes}; it must be more than 0")
    if options.tiny:
        os.environ["TORCH_COMPILE_DISABLE"] = "1"
        torch.set_num_threads(1)  # of every process: the networks are too small for more
        # One speed of each preset is enough.
        chosen = [task for task in chosen if task.judges or task.mode == "bf16"]
    # Every optimiser imports it, which takes seconds; the parts are forked and will have it.
    importlib.import_module("torch._dynamo")
    here = guarded(partial(machine, "cpu" if options.tiny else "cuda"), 60)
    if here.status != "done":
        raise UserError(f"no GPU can be used here ({here.error}); --tiny tries this script on a CPU")
    parts: list[dict[str, Any]] = []
    results = {"tiny": options.tiny, "minutes": options.minutes, **here.findings[0], "parts": parts}
    for task in chosen:
        left = 60 * options.minutes - (time.monotonic() - began)
        outcome: Outcome[Finding] = Outcome("out of time", error="not begun")
        if left > LEAST_SECONDS:
            outcome = guarded(task.work, min(left, task.seconds))
        named = {"part": task.part, "mode": task.mode, "judges": task.judges}
        found = [finding.to_json() for finding in outcome.findings]
        parts.append(named | asdict(outcome) | {"findings": found})
        results["seconds"] = time.monotonic() - began
        # After every part: who interrupts it keeps the parts before.
        write_file(out, json.dumps(results, indent=2, allow_nan=False) + "\n")
        print(f"{task.part}, {task.mode}: {outcome.status} after {outcome.seconds:.0f} s", flush=True)
    console().print(table(results))
    print(f"{out}: all of it")
    return int(any(is_wrong(part) for part in parts))


def is_wrong(part: dict[str, Any]) -> bool:
    """Whether a part that judges results found a wrong one, or could not finish for another reason than time."""
    wrong = any(finding["verdict"] == "fail" for finding in part["findings"])
    return part["judges"] and (wrong or part["status"] in ("failed", "out of memory"))


def table(results: dict[str, Any]) -> Table:
    """A line for every finding, and for every part that did not finish."""
    title = f"{results['device']}, PyTorch {torch.__version__}, {results['seconds']:.0f} s"
    if "driver" in results:
        title += f", driver {results['driver']}, {results['free_bytes'] / 1e9:.1f} GB were free"
    shown = Table("part", "mode", "", "result", "limit", "", box=None, title=title)
    for part in results["parts"]:
        for row in part["findings"]:
            cells = (row["what"], row["result"], row.get("limit", ""), row["verdict"])
            shown.add_row(part["part"], part["mode"], *cells)
        if part["status"] != "done":
            shown.add_row(part["part"], part["mode"], "", part["error"], "", part["status"])
    return shown


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="JSON file; it must not exist yet")
    parser.add_argument("--tiny", action="store_true", help="try this script with tiny networks on a CPU")
    parser.add_argument("--minutes", type=float, default=7.5, help="when to stop (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    run_command(lambda: sys.exit(main(options())))
