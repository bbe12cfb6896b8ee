"""The command line: ``adamas train``, ``adamas evaluate`` and the other commands that :data:`USAGE` lists."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence

import adamas
from adamas.bench.command import bench
from adamas.bench.plan import show_plan
from adamas.commands.collect import collect
from adamas.commands.data import data
from adamas.commands.dream import dream
from adamas.commands.evaluate import evaluate
from adamas.commands.export import export
from adamas.commands.fidelity import fidelity
from adamas.commands.play import play
from adamas.commands.push import push
from adamas.commands.train import train
from adamas.core.errors import UserError, nearest
from adamas.core.process import run_command
from adamas.envs.trust import trust_named
from adamas.presets import PRESETS
from adamas.report.command import report
from adamas.suite.command import suite

USAGE = """usage: adamas COMMAND ...

  adamas train PRESET [--run-dir DIR] [--seed S] [--field value ...]   start a run
  adamas train --resume DIR                                           go on with one
  adamas evaluate RUN|CHECKPOINT|FILE.pt [--episodes N] [--seed S]    score an agent in the real game
  adamas collect RUN|CHECKPOINT|FILE.pt --out DIR [--steps N]         record its play as a dataset
  adamas data import VIDEO|FOLDER --out DIR [--actions TABLE]         recordings of one's own as a dataset
  adamas data record DIR --env.suite ... [--steps N]                 a game that is played at random, as a dataset
  adamas data inspect|validate|split DIR                             what is in one, is it sound, hold out a part
  adamas fidelity RUN|CHECKPOINT|FILE.pt [--steps 1,3,10]             its dreams beside what really happened
  adamas play RUN|CHECKPOINT|FILE.pt [--terminal] [--host H]           watch and play its dream in the browser
  adamas dream RUN|CHECKPOINT|FILE.pt --out x.mp4 [--beside-real]      film it
  adamas export onnx|web RUN|CHECKPOINT|FILE.pt --out FOLDER          models for other programs, or a page
  adamas export published RUN|CHECKPOINT --out FILE.pt                write the published system's format
  adamas push RUN|CHECKPOINT hf://owner/name [--private]              upload an agent, its scores and a model card
  adamas bench [PRESET] [--rows ROW ...] [--json FILE]                how fast this machine trains and dreams
  adamas suite PRESET [--games G ...] [--seeds 0-4] [-- --field ...]  games times seeds; adamas suite status PRESET
  adamas report RUN ... [--against DIAMOND,IRIS] [--published]        one page about runs; published results
  adamas plan PRESET [--profile FILE] [--field value ...]             how long a run will take

  An agent on the Hugging Face hub can stand for FILE.pt: hf://owner/name[/folder or file.pt][@revision].
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
        "train": train,
        "evaluate": evaluate,
        "collect": collect,
        "data": data,
        "fidelity": fidelity,
        "play": play,
        "dream": dream,
        "export": export,
        "push": push,
        "bench": bench,
        "plan": show_plan,
        "suite": suite,
        "report": report,
    }
    words = list(
        arguments[1:] if arguments[:1] == ["train"] else arguments
    )  # train alone has no options to list
    if not arguments or words[:1] in (["-h"], ["--help"]):
        print(USAGE.format(presets=", ".join(PRESETS)))
    elif arguments[0] == "--version":
        print(adamas.__version__)
    elif arguments[0] not in commands:
        raise UserError(f"unknown command {arguments[0]!r}; {nearest(arguments[0], commands)}")
    else:
        trust_named(arguments)
        commands[arguments[0]](arguments[1:])
