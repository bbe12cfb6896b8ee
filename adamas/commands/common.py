"""Helpers that several commands use: the agent that a command is about, checks and printing."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from adamas.agent import Agent, check_fits
from adamas.core.config import from_dict, read_run_values, with_value
from adamas.core.console import counted
from adamas.core.errors import UserError
from adamas.data.index import is_link
from adamas.envs.atari import rom_name
from adamas.envs.config import EnvConfig
from adamas.envs.make import make_env
from adamas.evaluation.results import Evaluation
from adamas.interop.hub import fetch, is_address, parse_address
from adamas.presets import preset
from adamas.training.config import Config

Device = Literal["auto", "cpu", "cuda", "mps"]


@dataclass(frozen=True)
class Target:
    """The agent that a command is about. Its string is the name that the user gave.

    Attributes:
        word: the path or the address on the hub that the user gave.
        path: its place on this machine: a run folder, a checkpoint folder or a published file.
        commit: the commit of the hub's repository that it was downloaded from; None if it is not from the hub.
    """

    word: str
    path: Path
    commit: str | None = None

    def __str__(self) -> str:
        return self.word

    @property
    def name(self) -> str:
        """The start of the names of files about the agent: the name of its file, or repository and path on the hub."""
        if self.commit is None:
            return self.path.absolute().stem
        address = parse_address(self.word)
        words = address.repository.split("/")[1], PurePosixPath(address.path).name.removesuffix(".pt")
        return "-".join(filter(None, words))

    @property
    def is_run(self) -> bool:
        """Whether it is the folder of a run, where results about it are kept."""
        return (self.path / "checkpoints").is_dir()

    @property
    def is_recorded(self) -> bool:
        """Whether it is a run that was trained on recordings instead of a game; the run links to them."""
        dataset = self.path / "dataset"
        return dataset.is_symlink() or is_link(dataset / "train")

    @property
    def datasets(self) -> dict[str, Path]:
        """The real episodes that a run recorded, by name; the held-out ones come first."""
        folders = {name: self.path / "dataset" / name for name in ("test", "train")}
        return {name: folder for name, folder in folders.items() if (folder / "index.json").is_file()}


def find_target(arguments: Sequence[str], command: str) -> tuple[Target, Config, Sequence[str]]:
    """The agent that a command is about, the configuration of its run, and the other arguments.

    An agent on the hub is downloaded. A published file holds no configuration, and gets the published one with the
    Atari game that the file is named after.

    Args:
        arguments: the words after the command; the first one names the agent.
        command: the name of the command, for errors.

    Raises:
        UserError: no agent is named, it cannot be downloaded, or the configuration of its run is damaged.
    """
    what = "a run folder, a checkpoint folder or a published .pt file, or hf://owner/name"
    word, rest = first_argument(arguments, command, what)
    target = Target(word, *fetch(word)) if is_address(word) else Target(word, Path(word))
    file = target.path / "config.yaml"
    if not file.is_file():
        return target, _published_config(target.path), rest
    return target, from_dict(Config, read_run_values(file)), rest


def first_argument(arguments: Sequence[str], command: str, what: str) -> tuple[str, Sequence[str]]:
    """The first argument and the others.

    Args:
        arguments: the words after the command.
        command: the name of the command, for errors.
        what: what the first argument is, for errors.

    Raises:
        UserError: there is none, or it is empty or an option.
    """
    if not arguments or arguments[0][:1] in ("", "-"):
        raise UserError(f"{command} needs {what} (adamas {command} --help)")
    return arguments[0], arguments[1:]


def has_positional(arguments: Sequence[str]) -> bool:
    """Whether the first word after a command is a positional argument rather than an option."""
    return bool(arguments) and not arguments[0].startswith("-")


def _published_config(file: Path) -> Config:
    """The published configuration, with the Atari game that a published file is named after, if there is one."""
    config = preset("atari100k")
    with contextlib.suppress(UserError):
        rom_name(file.stem)
        config = with_value(config, "env.game", file.stem)
    return config


def check_env(agent: Agent, config: EnvConfig | None, target: Target) -> EnvConfig:
    """Return the game that a command plays. Raises UserError if there is none, or if it does not fit the agent."""
    if config is None:
        raise UserError(
            f"{target} was trained on recordings that name no game; name one with `env.suite` and `env.game`"
        )
    with contextlib.closing(make_env(config, 1, 0, training=False)) as env:
        check_fits(agent.config, env.obs_shape, env.action_spec, str(target))
    return config


def print_scores(evaluation: Evaluation) -> None:
    """Print one line for the agent and one for the random policy."""
    for name, score in evaluation.scores.items():
        interval = score.mean_interval_95
        shown = "" if interval is None else "[{:.2f}, {:.2f}] ".format(*interval)
        episodes = counted(len(score.returns), "episode")
        print(f"{name:14s} mean return {score.mean:8.2f}  {shown}over {episodes}")
