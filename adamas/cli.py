"""The command line: finds the command that :data:`COMMANDS` lists, and runs it or shows its help."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import adamas
from adamas.bench.command import BenchOptions, bench
from adamas.bench.plan import PlanOptions, show_plan
from adamas.commands import data, export
from adamas.commands.dream import Dream, dream
from adamas.commands.evaluate import Evaluate, evaluate
from adamas.commands.fidelity import Fidelity, fidelity
from adamas.commands.help import Command, show_help, usage, without_help
from adamas.commands.play import Play, play
from adamas.commands.presets import show_presets
from adamas.commands.push import Push, push
from adamas.commands.record import Record, record
from adamas.commands.renamed import refuse_old_names
from adamas.commands.train import Resume, Train, train
from adamas.core.errors import UserError, nearest, with_flags
from adamas.core.options import flags_of, positionals_first
from adamas.core.process import run_command
from adamas.envs.trust import trust_named
from adamas.report.command import ReportOptions, report
from adamas.suite.command import SuiteOptions, show_status, suite

COMMANDS = {
    "train": Command(train, "PRESET", "start a run, or continue one with --resume RUN", Train),
    "presets": Command(show_presets, "", "list the presets"),
    "plan": Command(show_plan, "PRESET", "predict how long a run takes, and its memory", PlanOptions),
    "bench": Command(bench, "[PRESET]", "measure how fast this machine trains and dreams", BenchOptions),
    "suite": Command(suite, "PRESET", "run a preset on every game and seed", SuiteOptions),
    "suite status": Command(show_status, "PRESET|FOLDER", "show how far these runs are", SuiteOptions),
    "play": Command(play, "[RUN]", "watch and play a dream in the browser", Play),
    "dream": Command(dream, "RUN", "film dreams", Dream),
    "evaluate": Command(evaluate, "RUN", "score an agent in the real game", Evaluate),
    "fidelity": Command(fidelity, "RUN", "compare dreams with what really happened", Fidelity),
    "report": Command(report, "RUN ...", "write one page about runs", ReportOptions),
    "data record": Command(record, "FOLDER", "record a game, played by an agent or by you", Record),
    "data import": Command(
        data.import_, "VIDEO|FOLDER", "make a dataset of your own recordings", data.Import
    ),
    "data inspect": Command(data.inspect, "FOLDER", "show what is in a dataset", data.Inspect),
    "data validate": Command(data.validate, "FOLDER", "check a dataset for damage", data.Validate),
    "data split": Command(data.split, "FOLDER", "split a dataset into train and test", data.Split),
    "data pack": Command(data.pack, "FOLDER", "compress a dataset", data.Pack),
    "export web": Command(export.web, "RUN", "write a web page that dreams in the browser", export.Web),
    "export onnx": Command(export.onnx, "RUN", "write an agent's networks as ONNX models", export.Onnx),
    "export published": Command(export.published, "RUN", "write a published .pt file", export.Published),
    "push": Command(push, "RUN hf://OWNER/NAME", "upload an agent to the Hugging Face hub", Push),
}


def main() -> None:
    """Entry point."""
    run_command(lambda: run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> None:
    """Run one command.

    Raises:
        UserError: whatever a user can mend; fields in its message are written as options.
    """
    words, wants_help = without_help(arguments)
    if not words:
        return print(usage(COMMANDS))
    if words in (["--version"], ["version"]):
        return print(adamas.__version__)
    name = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
    refuse_old_names(name, words[len(name.split()) :])
    if name not in COMMANDS:
        return _run_group(name, words[1:], wants_help)
    command = COMMANDS[name]
    trust_named(arguments)
    positionals, options = list[str](), words[len(name.split()) :]
    if command.options is not None:
        positionals, options = positionals_first(command.options, options)
    if wants_help:
        return show_help(name, command, positionals, options)
    try:
        command.run([*positionals, *options])
    except UserError as error:
        is_resumed = command.options is Train and any(word.startswith("--resume") for word in options)
        taken = Resume if is_resumed else command.options
        error.args = (with_flags(str(error), {} if taken is None else flags_of(taken)),)
        raise


def _run_group(name: str, words: Sequence[str], wants_help: bool) -> None:
    """List the commands of a group such as ``data``, or refuse what is no command."""
    group = [command.split()[1] for command in COMMANDS if command.startswith(f"{name} ")]
    if not group:
        raise UserError(f"unknown command {name!r}; {nearest(name, COMMANDS)}")
    if not wants_help:
        what = f"unknown command '{name} {words[0]}'" if words else f"{name} needs a command"
        raise UserError(f"{what}; {nearest(words[0] if words else '', group)} (adamas {name} --help)")
    print(usage(COMMANDS, f"{name} "))
