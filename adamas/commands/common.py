"""What several commands need."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from adamas.agent import Agent, check_fits
from adamas.core.config import from_dict, read_yaml
from adamas.core.errors import UserError
from adamas.data.index import is_link
from adamas.envs.atari import rom_name
from adamas.envs.config import EnvConfig
from adamas.envs.make import make_env
from adamas.interop.hub import fetch, is_address, parse_address
from adamas.presets import preset
from adamas.training.config import Config


@dataclass(frozen=True)
class Target:
    """The agent that a command is about. As a string it is what the user called it.

    Attributes:
        word: a path, or an address on the hub.
        path: where it is on this machine: a run folder, a checkpoint folder or a published file.
        commit: of the hub's repository that it is from; None if it is not from there.
    """

    word: str
    path: Path
    commit: str | None = None

    def __str__(self) -> str:
        return self.word

    @property
    def name(self) -> str:
        """What files about it are called: as it is, or as the repository and the place in it."""
        if self.commit is None:
            return self.path.absolute().stem
        address = parse_address(self.word)
        words = address.repository.split("/")[1], PurePosixPath(address.path).name.removesuffix(".pt")
        return "-".join(filter(None, words))

    @property
    def is_run(self) -> bool:
        """It is a run, which keeps what is found out about it."""
        return (self.path / "checkpoints").is_dir()

    @property
    def is_recorded(self) -> bool:
        """It is a run on recordings, to which it links, instead of on a game."""
        dataset = self.path / "dataset"
        return dataset.is_symlink() or is_link(dataset / "train")

    @property
    def datasets(self) -> dict[str, Path]:
        """The real episodes that a run recorded, by name; the held-out ones come first."""
        folders = {name: self.path / "dataset" / name for name in ("test", "train")}
        return {name: folder for name, folder in folders.items() if (folder / "index.json").is_file()}


def find_target(arguments: Sequence[str], command: str) -> tuple[Target, Config, Sequence[str]]:
    """The agent that a command is about, the configuration of its run, and the other arguments.

    An agent on the hub is fetched. A published file holds no configuration: it gets the published one, with the Atari
    game that the file is named after.

    Raises:
        UserError: no agent is named, it cannot be fetched, or the configuration of its run is damaged.
    """
    if not arguments or arguments[0].startswith("-"):
        raise UserError(
            f"{command} needs a run folder, a checkpoint folder or a published .pt file, or hf://owner/name, before "
            "any option"
        )
    word, rest = arguments[0], arguments[1:]
    target = Target(word, *fetch(word)) if is_address(word) else Target(word, Path(word))
    file = target.path / "config.yaml"
    if not file.is_file():
        return target, _published_config(target.path), rest
    data = read_yaml(file)
    # A checkpoint keeps the agent's configuration beside the run's.
    run = data["run"] if isinstance(data, dict) and "run" in data else data
    return target, from_dict(Config, run), rest


def _published_config(file: Path) -> Config:
    """The published configuration, with the Atari game that a published file is named after, if there is one."""
    config = preset("atari100k")
    with contextlib.suppress(UserError):
        rom_name(file.stem)
        config = replace(config, env=replace(config.env, game=file.stem))
    return config


def check_env(agent: Agent, config: EnvConfig, target: Target) -> None:
    """Refuse a game that the agent was not trained for, as UserError."""
    if target.is_recorded and config == EnvConfig():
        raise UserError(
            f"{target} was trained on recordings that name no game; name one with --env.suite and --env.game"
        )
    with contextlib.closing(make_env(config, 1, 0, training=False)) as env:
        check_fits(agent.config, env.obs_shape, env.action_spec, str(target))


def check_seed(seed: int) -> None:
    """Refuse a seed that is none, as UserError."""
    if seed < 0:
        raise UserError(f"seed is {seed}; it must be at least 0")


def print_scores(scores: Mapping[str, Any]) -> None:
    """A line for the agent and one for the random policy."""
    for name in ("agent", "random_policy"):
        mean, (low, high) = scores[name]["mean"], scores[name]["mean_interval_95"]
        count = len(scores[name]["returns"])
        interval = f"[{low:.2f}, {high:.2f}] over {count} episodes"
        print(f"{name.replace('_', ' '):14s} mean return {mean:8.2f}  {interval}")
