"""``adamas train``: start a run or go on with one, and score its agent at the end."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import tyro

from adamas.commands.common import print_scores
from adamas.core.arguments import parse
from adamas.core.config import load_config, to_dict
from adamas.core.distributed import Group
from adamas.core.errors import UserError
from adamas.core.progress import duration
from adamas.dreaming.films import save_longest_dream
from adamas.evaluation.results import evaluate_agent
from adamas.presets import PRESETS, preset
from adamas.report.run_results import write_report
from adamas.training.build import follow, new_run, resume_run
from adamas.training.config import Config
from adamas.training.resuming import Changes
from adamas.training.trainer import Trainer


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
class ResumedGame:
    """The game that a run goes on with."""

    game: str | None = None
    """The run's own game, named once more. It is needed where the game imports a module or reads a file of yours."""


@dataclass(frozen=True)
class Resume:
    """Go on with a run where its newest checkpoint left off. What is changed here stays changed.

    All other options of a run are fixed: another seed, preset or size makes another run.
    """

    resume: Path
    """Folder of the run."""
    device: Literal["auto", "cpu", "cuda", "mps"] | None = None
    """Where to compute from now on; None: where it was. Every kind of device draws its own random numbers, so a run
    that moves does not end as it would have ended on the first one."""
    final_epochs: int | None = None
    """How many final epochs the run has in total; None: as many as before. With more, a finished run goes on."""
    data: str | None = None
    """Where the run's recordings are now; None: where they were."""
    env: ResumedGame = field(default_factory=ResumedGame)
    quiet: bool = False
    """Show no progress."""


def train(arguments: Sequence[str]) -> None:
    """Train, as rank 0 of a group of processes or as another; rank 0 then scores the agent."""
    group = Group.join()
    if any(argument.startswith("--resume") for argument in arguments):
        _check_resume_options(arguments)
        resume = parse(Resume, arguments, "train")
        _check_game(resume)
        changes = Changes(resume.device, resume.final_epochs, resume.data)
        run_dir, make = resume.resume, partial(resume_run, resume.resume, resume.quiet, group, changes)
    elif not arguments or arguments[0].startswith("-"):
        raise UserError(f"train needs a preset ({', '.join(PRESETS)}) or --resume DIR")
    else:
        name = arguments[0]
        start = parse_start(name, arguments[1:])
        config = start.config
        source = config.env.game.replace("/", "-").lower() if config.data is None else Path(config.data).name
        run_dir = start.run_dir or Path("runs") / name / f"{source}-seed-{config.seed}"
        make = partial(new_run, start.config, run_dir, start.quiet, group)
    if group.rank > 0:
        return follow(run_dir, group).run()
    try:
        trainer = make()
    except BaseException:
        group.broadcast(None)  # the others wait to hear of the run
        raise
    with contextlib.closing(trainer):
        trainer.run()
        _report(trainer)


def parse_start(name: str, arguments: Sequence[str]) -> Train:
    """The options of a new run. Settings that its game needs are defaults, which options override."""
    default = preset(name)
    start = parse(Train, arguments, f"train {name}", Train(default))
    if (for_game := preset(name, start.config.env)) == default:
        return start
    return parse(Train, arguments, f"train {name}", Train(for_game))


def _check_resume_options(arguments: Sequence[str]) -> None:
    """Refuse what a run that exists cannot change, as UserError."""
    known = {f"--{option.name.replace('_', '-')}" for option in fields(Resume)}
    known |= {"--env.game", "--help"}
    for word in arguments:
        option = word.split("=")[0].replace("_", "-")
        if option.startswith("--") and option not in known:
            raise UserError(
                f"a run that goes on keeps its options, {option} among them; only --device, --final-epochs and --data "
                "may change (adamas train --resume RUN --help)"
            )


def _check_game(options: Resume) -> None:
    """Refuse another game than the run's own, however it is written."""
    named, file = options.env.game, options.resume / "config.yaml"
    if named is None or not file.is_file():
        return
    game = load_config(file, Config).env.game
    words = ["".join(filter(str.isalnum, word)).lower() for word in (named, game)]
    if words[0] != words[1]:
        raise UserError(
            f"--env.game is {named}, but the run's game is {game}; leave it out, or name that one"
        )


def _report(trainer: Trainer) -> None:
    """Score a trained agent in the real game, draw the pictures, and say where everything is."""
    config, agent, run_dir = trainer.config, trainer.agent, trainer.run_dir
    protocol = config.evaluation
    if config.data is not None:
        print(f"trained for {duration(trainer.clock.seconds)} on {trainer.real_steps:,} recorded steps")
        heldout = trainer.heldout_dreams()
        paths = [] if heldout is None else save_longest_dream(run_dir / "results", heldout)
        print("\n".join(f"  {path}" for path in paths))
        return
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
    heldout, has_dreams = trainer.heldout_dreams(), config.imagination == "on"
    paths = write_report(run_dir, agent, config.env, scores, heldout, trainer.device, config.seed, has_dreams)
    print_scores(scores)
    print(f"trained for {duration(seconds)} on {real_steps:,} real steps")
    print("\n".join(f"  {path}" for path in paths))
