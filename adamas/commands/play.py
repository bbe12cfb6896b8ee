"""``adamas play``: a web page in which people watch and play a dream."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
import torch
import tyro

from adamas.agent import Agent
from adamas.commands.common import Target, check_env, check_seed, find_target
from adamas.core import runtime
from adamas.core.arguments import parse
from adamas.core.config import from_dict
from adamas.core.errors import UserError, require
from adamas.core.runtime import RuntimeConfig
from adamas.data import EpisodeStore
from adamas.data.locations import Place, parse_place
from adamas.diffusion.samplers import SAMPLERS
from adamas.dreaming.starts import PlayedStarts, RecordedStarts, Starts
from adamas.envs.config import EnvConfig
from adamas.envs.make import make_env
from adamas.envs.vector import RealVectorEnv
from adamas.interop.load import load
from adamas.play.controls import Moves
from adamas.play.engine import Engine
from adamas.play.messages import LIMITS, Settings, View
from adamas.play.recording import KINDS, Recordings
from adamas.play.scene import Stage
from adamas.play.worlds import MakeEnv

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Play:
    """Watch and play a dream in the browser, beside the real game."""

    env: Annotated[EnvConfig, tyro.conf.FlagConversionOff]
    dataset: str | None = None
    """Real episodes that dreams start from: a folder or a URL. Default: the run's held-out ones, else what it plays."""
    recordings: Path | None = None
    """Folder for what is recorded. Default: recordings/ in the run's folder, or in the working folder."""
    host: str = LOOPBACK
    """Address to listen on. Any but 127.0.0.1 lets other machines in; those need the token that is printed."""
    port: int = 8421
    """0 takes any free one."""
    allow_origin: tuple[str, ...] = ()
    """Other addresses at which browsers find the page, such as https://play.example.org: those of a proxy or of a
    forwarded port. With this option, every visitor needs the token that is printed."""
    fps: float = 15.0
    """Steps per second, to begin with."""
    max_players: int = 32
    terminal: bool = False
    """Play in this terminal instead."""
    seed: int = 0
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "auto"
    """Precision of the networks, as --runtime.precision of training. auto: tf32 on CUDA, bf16 on a CPU with
    instructions for it, fp32 elsewhere."""
    compile: bool = False
    """Let a compiler fuse the networks' operations, as --runtime.compile of training: the first moments take longer."""

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if not 0 <= self.port < 65536:
            raise UserError(f"port is {self.port}; it must lie in [0, 65535]")
        if self.max_players < 1:
            raise UserError(f"max_players is {self.max_players}; it must be at least 1")
        Settings(fps=self.fps)


def play(arguments: Sequence[str]) -> None:
    """Serve until Ctrl-C."""
    target, config, rest = find_target(arguments, "play")
    options = parse(Play, rest, f"play {target}", Play(config.env))
    runtime.setup(RuntimeConfig(device=options.device, precision=options.precision, compile=options.compile))
    cores = torch.get_num_threads()
    torch.set_num_threads(1)  # of this thread: the cores are the engine's
    agent = load(target.path, options.device)
    run = target.path if target.is_run else None
    datasets: Mapping[str, Place] = (
        target.datasets if options.dataset is None else {"dataset": parse_place(options.dataset)}
    )
    make_real, why_no_real = _real_game(agent, options, target)
    if not datasets and make_real is None:
        raise UserError(
            f"dreams have nothing to start from: {why_no_real}; or give real episodes with --dataset"
        )
    folder = options.recordings or (run or Path()) / "recordings"
    recordings = Recordings(folder, agent.config.obs_shape, agent.action_spec)
    trained = agent.config.world_model.sampler
    stage = Stage(
        agent,
        Moves(agent.action_spec),
        _starts(agent, datasets, make_real),
        make_real,
        recordings,
        from_dict(Settings, {"fps": options.fps, "steps": trained.num_steps, "method": trained.method}),
        np.random.default_rng(options.seed),
        torch.Generator(runtime.device_of(agent)).manual_seed(options.seed),
    )
    if why_no_real:
        print(f"no real game beside the dream: {why_no_real}", file=sys.stderr)
    hello = _hello(agent, target.name, options.env, why_no_real)
    played = {f"played-{kind}": folder / kind for kind in KINDS}
    engine = Engine(stage, cores)
    try:
        if options.terminal:
            _play_in_terminal(engine, hello)
        else:
            _serve(engine, {**datasets, **played}, hello, options)
    finally:
        recordings.close()


def _serve(engine: Engine, datasets: Mapping[str, Place], hello: Mapping[str, Any], options: Play) -> None:
    try:
        from adamas.play.dataset_api import Library
        from adamas.play.run_server import serve
    except ModuleNotFoundError as error:
        raise require(str(error.name), "play") from error
    serve(
        engine,
        Library(datasets, options.fps),
        hello,
        options.host,
        options.port,
        options.max_players,
        options.allow_origin,
    )


def _play_in_terminal(engine: Engine, hello: Mapping[str, Any]) -> None:
    try:
        from adamas.play.terminal import play_in_terminal
    except ModuleNotFoundError as error:
        raise require(str(error.name), "play") from error
    play_in_terminal(engine, hello)


def _real_game(agent: Agent, options: Play, target: Target) -> tuple[MakeEnv | None, str]:
    """What makes a real game; or None, and why not."""
    seeds = np.random.default_rng(options.seed)

    def make(training: bool) -> RealVectorEnv:
        return make_env(options.env, 1, int(seeds.integers(2**31)), training)

    try:
        check_env(agent, options.env, target)
    except UserError as error:
        return None, str(error)
    return make, ""


def _starts(agent: Agent, datasets: Mapping[str, Place], make_real: MakeEnv | None) -> Starts:
    """Where dreams start: in the first dataset that holds enough; else in what the agent plays, if it can."""
    problems = []
    for name, folder in datasets.items():
        try:
            return RecordedStarts(EpisodeStore.open(folder), agent)
        except UserError as error:
            if name == "dataset" or make_real is None:  # it was asked for, or there is nothing else
                problems.append(error)
    if problems or make_real is None:
        raise problems[0]
    return PlayedStarts(make_real(False), agent)


def _hello(agent: Agent, title: str, env: EnvConfig, why_no_real: str) -> dict[str, Any]:
    """What a page is told first."""
    _, height, width = agent.config.obs_shape
    return {
        "type": "hello",
        "title": title,
        "game": f"{env.game} ({env.suite})",
        "height": height,
        "width": width,
        "actions": list(Moves(agent.action_spec).names),
        "views": ["dream"] if why_no_real else list(get_args(View)),
        "why_no_real": why_no_real,
        "samplers": list(SAMPLERS),
        "limits": {name: list(limits) for name, limits in LIMITS.items()},
        "can_record": True,
        "why_no_record": "",
    }
