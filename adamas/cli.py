"""The command line: ``adamas train | evaluate | collect | export | bench | plan``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
import yaml

import adamas
from adamas.agent import Agent, check_fits
from adamas.bench.command import bench
from adamas.bench.plan import show_plan
from adamas.core import runtime
from adamas.core.arguments import parse
from adamas.core.config import from_dict, to_dict
from adamas.core.distributed import Group
from adamas.core.errors import UserError, nearest
from adamas.core.process import run_command
from adamas.core.progress import duration
from adamas.data.store import EpisodeStore
from adamas.envs.config import EnvConfig
from adamas.envs.make import make_env
from adamas.evaluation.report import write_report
from adamas.evaluation.results import evaluate_agent, write_results
from adamas.interop.load import load
from adamas.interop.published import save_published
from adamas.presets import PRESETS, preset
from adamas.rl.rollout import OnHost
from adamas.training.build import follow, new_run, resume_run
from adamas.training.collect import Collector
from adamas.training.config import Config
from adamas.training.trainer import Trainer

COLLECT_CHUNK = 20  # steps held in memory before they go to disk

USAGE = """usage: adamas COMMAND ...

  adamas train PRESET [--run-dir DIR] [--seed S] [--field value ...]   start a run
  adamas train --resume DIR                                           go on with one
  adamas evaluate RUN|CHECKPOINT|FILE.pt [--episodes N] [--seed S]    score an agent in the real game
  adamas collect RUN|CHECKPOINT|FILE.pt --out DIR [--steps N]         record its play as a dataset
  adamas export published RUN|CHECKPOINT --out FILE.pt                write the published system's format
  adamas bench [PRESET] [--rows ROW ...] [--json FILE]                how fast this machine trains and dreams
  adamas plan PRESET [--profile FILE] [--field value ...]             how long a run will take

  adamas train PRESET --help lists every field. Presets: {presets}."""


def main() -> None:
    """Entry point."""
    run_command(lambda: run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> None:
    """Run one command.

    Raises:
        UserError: whatever a user can mend.
    """
    commands: Mapping[str, Callable[[Sequence[str]], None]] = {
        "train": _train,
        "evaluate": _evaluate,
        "collect": _collect,
        "export": _export,
        "bench": bench,
        "plan": show_plan,
    }
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE.format(presets=", ".join(PRESETS)))
    elif arguments[0] == "--version":
        print(adamas.__version__)
    elif arguments[0] not in commands:
        raise UserError(f"unknown command {arguments[0]!r}; {nearest(arguments[0], commands)}")
    else:
        commands[arguments[0]](arguments[1:])


@dataclass(frozen=True)
class Train:
    """Start a run."""

    # Its fields are options without a prefix, and its switches take True or False.
    config: Annotated[Config, tyro.conf.arg(name=""), tyro.conf.FlagConversionOff]
    run_dir: Path | None = None
    """Folder of the run; must not exist yet. None: runs/PRESET/GAME-seed-S."""
    quiet: bool = False
    """Show no progress."""


@dataclass(frozen=True)
class Resume:
    """Go on with a run where its newest checkpoint left off."""

    resume: Path
    """Folder of the run."""
    quiet: bool = False
    """Show no progress."""


def _train(arguments: Sequence[str]) -> None:
    group = Group.join()
    if any(argument.startswith("--resume") for argument in arguments):
        resume = parse(Resume, arguments, "train")
        run_dir, make = resume.resume, partial(resume_run, resume.resume, resume.quiet, group)
    elif arguments and arguments[0] in ("-h", "--help"):
        return run(["--help"])
    elif not arguments or arguments[0].startswith("-"):
        raise UserError(f"train needs a preset ({', '.join(PRESETS)}) or --resume DIR")
    else:
        name = arguments[0]
        train = parse(Train, arguments[1:], f"train {name}", Train(preset(name)))
        game = train.config.env.game.replace("/", "-").lower()
        run_dir = train.run_dir or Path("runs") / name / f"{game}-seed-{train.config.seed}"
        make = partial(new_run, train.config, run_dir, train.quiet, group)
    if group.rank > 0:
        return follow(run_dir, group).run()
    with contextlib.closing(make()) as trainer:
        trainer.run()
        _report(trainer)


def _report(trainer: Trainer) -> None:
    """Score a trained agent in the real game, draw the pictures, and say where everything is."""
    config, agent, run_dir = trainer.config, trainer.agent, trainer.run_dir
    protocol = config.evaluation
    if not trainer.quiet:
        print(f"scoring the agent: {protocol.final_episodes} episodes of the real game", flush=True)
    scores = evaluate_agent(
        agent,
        config.env,
        episodes=protocol.final_episodes,
        num_envs=protocol.num_envs,
        seed=config.seed,
        temperature=protocol.temperature,
        device=trainer.device,
    )
    seconds, real_steps = trainer.clock.seconds, trainer.real_steps
    scores["run"] = {"config": to_dict(config), "real_steps": real_steps, "seconds": seconds}
    dreams = trainer.heldout_dreams()
    paths = write_report(run_dir, agent, config.env, scores, dreams, trainer.device, config.seed)
    _print_scores(scores)
    print(f"trained for {duration(seconds)} on {real_steps:,} real steps")
    print("\n".join(f"  {path}" for path in paths))


def _print_scores(scores: Mapping[str, Any]) -> None:
    for name in ("agent", "random_policy"):
        mean, (low, high) = scores[name]["mean"], scores[name]["mean_interval_95"]
        count = len(scores[name]["returns"])
        interval = f"[{low:.2f}, {high:.2f}] over {count} episodes"
        print(f"{name.replace('_', ' '):14s} mean return {mean:8.2f}  {interval}")


@dataclass(frozen=True)
class Evaluate:
    """Score an agent, and a random policy, in the real game."""

    env: Annotated[EnvConfig, tyro.conf.FlagConversionOff]
    episodes: int = 100
    num_envs: int = 16
    """Environments played in parallel."""
    seed: int = 0
    temperature: float = 1.0
    """Of the policy; 0 is greedy."""
    out: Path = Path("scores.json")
    """Where the episodes and everything needed to trace them go; never overwritten."""
    device: str = "auto"

    def __post_init__(self) -> None:
        _check_seed(self.seed)


def _evaluate(arguments: Sequence[str]) -> None:
    target, config, rest = _target(arguments, "evaluate")
    default = Evaluate(config.env, num_envs=config.evaluation.num_envs, out=_evaluation_file(target))
    options = parse(Evaluate, rest, f"evaluate {target}", default)
    runtime.keep_freed_memory()
    agent = load(target, options.device)
    _check_env(agent, options.env, target)
    scores = evaluate_agent(
        agent,
        options.env,
        episodes=options.episodes,
        num_envs=options.num_envs,
        seed=options.seed,
        temperature=options.temperature,
        device=runtime.device_of(agent),
    )
    scores["target"] = str(target)
    path = write_results(options.out, scores)
    _print_scores(scores)
    print(f"  {path}")


def _evaluation_file(target: Path) -> Path:
    """Beside the other results of a run; of anything else in the working folder. Old checkpoints get deleted."""
    if (target / "checkpoints").is_dir():
        return target / "results" / "evaluation.json"
    return Path(f"{target.stem}-evaluation.json")


@dataclass(frozen=True)
class Collect:
    """Record episodes of an agent in the real game, in the format of the replay."""

    env: Annotated[EnvConfig, tyro.conf.FlagConversionOff]
    out: Path
    """Folder of the dataset; must not exist yet."""
    steps: int = 10_000
    num_envs: int = 4
    seed: int = 0
    temperature: float = 1.0
    epsilon: float = 0.0
    """Probability of a uniformly random action."""
    device: str = "auto"

    def __post_init__(self) -> None:
        _check_seed(self.seed)
        if self.steps < 1:
            raise UserError(f"steps is {self.steps}; it must be at least 1")
        if not 0 <= self.epsilon <= 1:
            raise UserError(f"epsilon is {self.epsilon}; a probability lies in [0, 1]")
        if not self.temperature >= 0:
            raise UserError(f"temperature is {self.temperature}; it must be at least 0 (0 is greedy)")


def _collect(arguments: Sequence[str]) -> None:
    target, config, rest = _target(arguments, "collect")
    default = Collect(config.env, tyro.MISSING, num_envs=config.collection.num_envs)
    options = parse(Collect, rest, f"collect {target}", default)
    runtime.keep_freed_memory()
    agent = load(target, options.device)
    _check_env(agent, options.env, target)
    with contextlib.closing(make_env(options.env, options.num_envs, options.seed, training=True)) as env:
        store = EpisodeStore.create(options.out, env.obs_shape)
        generator = torch.Generator().manual_seed(options.seed)
        policy = OnHost(agent.actor_critic, runtime.device_of(agent))
        collector = Collector(policy, env, store, generator)
        left = -(-options.steps // options.num_envs)  # of every environment
        while left > 0:
            chunk = min(left, COLLECT_CHUNK)
            collector.collect(chunk, options.temperature, options.epsilon)
            left -= chunk
        store.commit()
    print(f"{store.num_steps:,} steps in {store.num_episodes:,} episodes: {options.out}")


@dataclass(frozen=True)
class Export:
    """Write an agent in the format of the published checkpoints."""

    out: Path
    """The .pt file to write; must not exist yet."""


def _export(arguments: Sequence[str]) -> None:
    if not arguments or arguments[0] != "published":
        raise UserError("export what? use: adamas export published RUN|CHECKPOINT --out FILE.pt")
    target, _, rest = _target(arguments[1:], "export published")
    options = parse(Export, rest, f"export published {target}")
    save_published(load(target, "cpu"), options.out)
    print(f"  {options.out}")


def _target(arguments: Sequence[str], command: str) -> tuple[Path, Config, Sequence[str]]:
    """The agent that a command is about, the configuration of its run, and the other arguments.

    The published format says nothing of a configuration: it gets the paper's.
    """
    if not arguments or arguments[0].startswith("-"):
        raise UserError(f"{command} needs a run folder, a checkpoint folder or a published .pt file")
    target = Path(arguments[0])
    config = Config()
    file = target / "config.yaml"
    if file.is_file():
        try:
            data = yaml.safe_load(file.read_bytes())
        except yaml.YAMLError as error:
            raise UserError(f"{file} is not valid YAML; restore it from a checkpoint's") from error
        # A checkpoint keeps the agent's configuration beside the run's.
        config = from_dict(Config, data["run"] if isinstance(data, dict) and "run" in data else data)
    return target, config, arguments[1:]


def _check_env(agent: Agent, config: EnvConfig, target: Path) -> None:
    with contextlib.closing(make_env(config, 1, 0, training=False)) as env:
        check_fits(agent.config, env.obs_shape, env.action_spec, str(target))


def _check_seed(seed: int) -> None:
    if seed < 0:
        raise UserError(f"seed is {seed}; it must be at least 0")
