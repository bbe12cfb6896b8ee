"""``adamas train``: start a run or continue one, and score its agent at the end."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from adamas.commands.common import Device, has_positional, print_scores
from adamas.core.arguments import parse
from adamas.core.config import load_config, to_dict
from adamas.core.console import counted
from adamas.core.distributed import Group
from adamas.core.errors import Interrupted, UserError
from adamas.core.names import folded
from adamas.core.progress import duration
from adamas.data.locations import place_name
from adamas.dreaming.films import save_longest_dream
from adamas.evaluation.evaluate import evaluate_agent
from adamas.evaluation.result_file import parse_evaluation
from adamas.evaluation.results import TrainingSummary
from adamas.presets import PRESETS, preset, preset_for
from adamas.report.run_results import write_report
from adamas.training.build import follow, new_run, resume_run
from adamas.training.config import Config
from adamas.training.resuming import Changes
from adamas.training.trainer import Trainer


@dataclass(frozen=True)
class Train:
    """Start a run of a preset, and score its agent in the real game at the end.

    Ctrl-C saves the run first. To continue a run: adamas train --resume RUN (adamas train --resume --help).
    """

    # The fields of the configuration are options without a prefix, and its switches take True or False.
    config: Annotated[Config, tyro.conf.arg(name=""), tyro.conf.FlagConversionOff]
    run_dir: Path | None = None
    """Folder of the new run. It must not exist yet. By default, runs/PRESET/GAME-seed-S."""
    quiet: bool = False
    """Print no progress; scores are printed all the same."""


@dataclass(frozen=True)
class ResumedGame:
    """The game of a run that continues."""

    game: str | None = None
    """The game of the run, named again. It is needed only where the game imports a module or reads a file of
    yours."""


@dataclass(frozen=True)
class Resume:
    """Continue a run from its newest checkpoint. What is changed here stays changed.

    All other options of a run are fixed: another seed, preset or size makes another run.
    """

    resume: Path
    """Folder of the run to continue."""
    device: Device | None = None
    """Device to compute on from now on. By default, the one that the run used before. Each kind of device draws its
    own random numbers, so a run that moves to another one ends with other results."""
    final_epochs: int | None = None
    """Number of final epochs of the whole run. By default, it stays as it was. A larger number continues a finished
    run."""
    data: str | None = None
    """Folder or URL where the recordings of the run are now. By default, the folder where they were before."""
    env: ResumedGame = field(default_factory=ResumedGame)
    quiet: bool = False
    """Print no progress; scores are printed all the same."""


def train(arguments: Sequence[str]) -> None:
    """Train as one process of a group; rank 0 then scores the agent."""
    group = Group.join()
    if any(argument.startswith("--resume") for argument in arguments):
        _check_resume_options(arguments)
        resume = parse(Resume, arguments, "train --resume RUN")
        _check_game(resume)
        changes = Changes(resume.device, resume.final_epochs, resume.data)
        run_dir, make = resume.resume, partial(resume_run, resume.resume, resume.quiet, group, changes)
    elif not has_positional(arguments):
        raise UserError(f"train needs a preset ({', '.join(PRESETS)}) or --resume RUN (adamas train --help)")
    else:
        name = arguments[0]
        start = parse_start(name, arguments[1:])
        config = start.config
        run_dir = start.run_dir or Path("runs") / name / f"{_source(config)}-seed-{config.seed}"
        make = partial(new_run, start.config, run_dir, start.quiet, group)
    if group.rank > 0:
        return follow(run_dir, group).run()
    try:
        trainer = make()
    except BaseException:
        group.broadcast(None)  # the others wait to hear of the run
        raise
    with contextlib.closing(trainer):
        if _is_finished(trainer):
            print(_finished(run_dir, trainer.config))
            return
        try:
            trainer.run()
        except Interrupted as stop:
            raise Interrupted(f"{stop}; continue with: adamas train --resume {run_dir}") from None
        try:
            _report(trainer)
        except KeyboardInterrupt:
            raise Interrupted(
                f"trained but not scored; continue with: adamas train --resume {run_dir}"
            ) from None


def _source(config: Config) -> str:
    """The game or the recordings of a run, as a part of a file name."""
    if (game := config.game_parts) is None:
        return place_name(str(config.data))
    return game.env.game.replace("/", "-").lower()


def _is_finished(trainer: Trainer) -> bool:
    """Whether a run has no epochs left, and its results belong to the end of its training."""
    clock, results = trainer.clock, trainer.run_dir / "results"
    if clock.epoch == 0 or clock.epoch <= clock.num_epochs:
        return False
    if trainer.config.data is not None:
        return results.is_dir()
    for path in results.glob("scores*.json"):
        # A file that cannot be read is no score of this run.
        with contextlib.suppress(OSError, ValueError, OverflowError, RecursionError):
            run = parse_evaluation(path.read_bytes()).run
            if run is not None and run.seconds == clock.seconds:
                return True
    return False


def _finished(run_dir: Path, config: Config) -> str:
    again = "" if config.data is not None else f"; to score it again: adamas evaluate {run_dir}"
    return (
        f"{run_dir} is finished; its results are in {run_dir / 'results'}{again}; to train it further: "
        f"adamas train --resume {run_dir} --final-epochs N, with N above {config.final_epochs}"
    )


def parse_start(name: str, arguments: Sequence[str]) -> Train:
    """The options of a new run. The settings that its game needs are the defaults."""
    default = preset_for(name, arguments)
    start = parse(Train, arguments, f"train {name}", Train(default))
    if start.config.data is not None or (for_game := preset(name, start.config.env)) == default:
        return start
    return parse(Train, arguments, f"train {name}", Train(for_game))


def _check_resume_options(arguments: Sequence[str]) -> None:
    """Refuse, as UserError, options that cannot change when a run continues."""
    if has_positional(arguments):
        raise UserError(f"a run that continues has its preset already; leave out {arguments[0]}")
    known = {f"--{option.name.replace('_', '-')}" for option in fields(Resume)}
    known |= {"--env.game", "--help"}
    for word in arguments:
        option = word.split("=")[0].replace("_", "-")
        if option.startswith("--") and option not in known:
            raise UserError(
                f"{word.split('=')[0]} cannot change when a run continues; only --device, --final-epochs and --data "
                "can (adamas train --resume --help)"
            )


def _check_game(options: Resume) -> None:
    """Refuse, as UserError, another game than that of the run; its spelling may differ."""
    named, file = options.env.game, options.resume / "config.yaml"
    if named is None or not file.is_file():
        return
    if (played := load_config(file, Config).game_parts) is None:
        raise UserError("--env.game names a game, but the run learns from recordings; leave the option out")
    game = played.env.game
    if folded(named) != folded(game):
        raise UserError(
            f"`env.game` is {named}, but the game of the run is {game}; leave the option out, or name that game"
        )


def _report(trainer: Trainer) -> None:
    """Score a trained agent in the real game, write the report, and print the paths of its files."""
    config, agent, run_dir = trainer.config, trainer.agent, trainer.run_dir
    protocol, game = config.evaluation, config.game_parts
    if game is None:
        print(f"trained for {duration(trainer.clock.seconds)} on {trainer.real_steps:,} recorded steps")
        heldout = trainer.heldout_dreams()
        paths = [] if heldout is None else save_longest_dream(run_dir / "results", heldout)
        print("\n".join(f"  {path}" for path in paths))
        return
    if not trainer.quiet:
        episodes = counted(protocol.final_episodes, "episode")
        print(f"scoring the agent: {episodes} of the real game", flush=True)
    evaluation = evaluate_agent(
        agent,
        game.env,
        episodes=protocol.final_episodes,
        num_envs=protocol.num_envs,
        seed=config.seed,
        temperature=protocol.temperature,
        device=trainer.device,
    )
    seconds, real_steps = trainer.clock.seconds, trainer.real_steps
    run = TrainingSummary(config=to_dict(config), real_steps=real_steps, seconds=seconds)
    heldout, has_dreams = trainer.heldout_dreams(), config.imagination == "on"
    paths = write_report(
        run_dir,
        agent,
        replace(evaluation, run=run),
        heldout=heldout,
        device=trainer.device,
        seed=config.seed,
        dreams=has_dreams,
    )
    print_scores(evaluation)
    print(f"trained for {duration(seconds)} on {real_steps:,} real steps")
    print("\n".join(f"  {path}" for path in paths))
