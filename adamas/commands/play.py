"""``adamas play``: watch and play a dream in the browser or in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal, get_args

import numpy as np
import torch
import tyro

import adamas.play
from adamas.agent import Agent
from adamas.commands.common import Device, Target, check_env, find_target, has_positional
from adamas.core import runtime
from adamas.core.arguments import parse
from adamas.core.checks import check_range
from adamas.core.config import from_dict
from adamas.core.errors import UserError, not_installed, with_flags
from adamas.core.options import flags_of
from adamas.core.runtime import RuntimeConfig
from adamas.data import EpisodeStore
from adamas.data.locations import Place, parse_place, place_name
from adamas.diffusion.samplers import SAMPLERS
from adamas.dreaming.starts import PlayedStarts, RecordedStarts, Starts
from adamas.envs.config import AtariConfig, EnvConfig
from adamas.envs.make import make_env
from adamas.envs.vector import RealVectorEnv
from adamas.interop.load import load
from adamas.play.controls import Moves
from adamas.play.engine import Engine
from adamas.play.messages import DEFAULT_FPS, LIMITS, Settings, View, human_fps
from adamas.play.recording import KINDS, Recordings
from adamas.play.scene import PlayContext
from adamas.play.server_messages import Hello
from adamas.play.worlds import MakeEnv
from adamas.training.config import Config

LOOPBACK = "127.0.0.1"
DEMO = Path(adamas.play.__file__).parent / "demo"
"""The checkpoint folder of a small trained agent, with held-out episodes for its dreams to start from."""


@dataclass(frozen=True)
class Play:
    """Watch and play a dream in the browser, beside the real game. Without a RUN, play the agent in the package."""

    env: Annotated[EnvConfig | None, tyro.conf.FlagConversionOff] = field(default_factory=AtariConfig)
    """The game. It is shown beside the dream, and dreams start from it if there are no recorded episodes."""
    dataset: str | None = None
    """Folder or URL of the real episodes that dreams start from. By default these are the run's held-out episodes. An
    agent without any plays the real game to get its starts."""
    recordings: Path | None = None
    """Folder for recorded episodes. By default it is recordings/ in the run's folder, or in the working folder."""
    host: str = LOOPBACK
    """Address to listen on. With any address but 127.0.0.1, other machines can connect with the token that is
    printed."""
    port: int = 8421
    """Port to listen on; 0 chooses a free one."""
    allow_origin: tuple[str, ...] = ()
    """Further origins of the page, such as https://play.example.org, for a proxy or a forwarded port. With this option,
    every visitor needs the token that is printed."""
    fps: float | None = None
    """Steps a second at the start, from 1 to 60; the page can change it. By default it is a pace that people can play
    at: 5 for MinAtar, 15 for all other games and for recordings."""
    max_players: int = 32
    """Limit of pages that play at the same time, at least 1."""
    terminal: bool = False
    """Play in this terminal instead of the browser."""
    seed: int = 0
    """Seed of everything random: games, dreams, and the agent's actions. At least 0."""
    device: Device = "auto"
    """Device that the agent computes on. auto takes the first that exists of cuda, mps and cpu."""
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "auto"
    """Precision of the networks. auto takes tf32 on CUDA, bf16 for frames of 32x32 pixels and more on a
    CPU with instructions for it, and fp32 elsewhere."""
    compile: bool = False
    """Compile the networks, which makes steps faster after a first minute or two."""

    def __post_init__(self) -> None:
        check_range("seed", self.seed, least=0)
        check_range("port", self.port, least=0, most=65_535)
        check_range("max_players", self.max_players, least=1)
        if self.fps is not None:
            Settings(fps=self.fps)  # raises UserError if it is out of range


def play(arguments: Sequence[str]) -> None:
    """Run the command until the user ends it."""
    is_demo = not has_positional(arguments)
    target, config, rest = find_target([str(DEMO), *arguments] if is_demo else arguments, "play")
    if is_demo:
        target = replace(target, word="the agent in the package")
    options = parse(Play, rest, "play" if is_demo else f"play {target}", Play(config.env))
    fps = options.fps or human_fps(options.env)
    agent = load(target.path, options.device)
    settings = RuntimeConfig(device=options.device, precision=options.precision, compile=options.compile)
    runtime.setup(settings, agent.config.obs_shape)
    cores = torch.get_num_threads()
    torch.set_num_threads(1)  # in this thread; the engine's thread uses the cores
    run = target.path if target.is_run else None
    datasets: Mapping[str, Place] = (
        target.datasets if options.dataset is None else {"dataset": parse_place(options.dataset)}
    )
    make_real, why_no_real = _game_factory(agent, options, target)
    if not datasets and make_real is None:
        raise UserError(
            f"dreams have nothing to start from: {why_no_real}; or give real episodes with `dataset`"
        )
    folder = options.recordings or (run or Path()) / "recordings"
    recordings = Recordings(folder, agent.config.obs_shape, agent.action_spec)
    shared = PlayContext(
        agent=agent,
        moves=Moves(agent.action_spec),
        starts=_starts(agent, datasets, make_real),
        make_env=make_real,
        recordings=recordings,
        settings=_settings(agent, fps),
        rng=np.random.default_rng(options.seed),
        generator=torch.Generator(runtime.device_of(agent)).manual_seed(options.seed),
    )
    if target.path == DEMO:
        print("playing the small agent in the package; adamas play RUN plays one of your own", flush=True)
    if why_no_real:
        print(f"no real game beside the dream: {why_no_real}", file=sys.stderr)
    hello = _hello(agent, target, _trained_on(agent, config, options.env), why_no_real, shared.has_policy)
    played = {f"played-{kind}": folder / kind for kind in KINDS}
    engine = Engine(shared, cores)
    try:
        if options.terminal:
            _play_in_terminal(engine, hello)
        else:
            _serve(engine, {**datasets, **played}, hello, replace(options, fps=fps))
    finally:
        recordings.close()


def _settings(agent: Agent, fps: float) -> Settings:
    """The settings of a new player: frames are drawn as in training."""
    sampler = agent.world_model.sampler
    denoising = {} if sampler is None else {"denoising_steps": sampler.num_steps, "method": sampler.method}
    return from_dict(Settings, {"fps": fps, **denoising})


def _serve(engine: Engine, datasets: Mapping[str, Place], hello: Hello, options: Play) -> None:
    try:
        from adamas.play.dataset_api import DatasetApi
        from adamas.play.run_server import serve
    except ModuleNotFoundError as error:
        raise not_installed(str(error.name), "play") from error
    serve(
        engine,
        DatasetApi(datasets, options.fps or DEFAULT_FPS),
        hello,
        options.host,
        options.port,
        options.max_players,
        options.allow_origin,
    )


def _play_in_terminal(engine: Engine, hello: Hello) -> None:
    try:
        from adamas.play.terminal import play_in_terminal
    except ModuleNotFoundError as error:
        raise not_installed(str(error.name), "play") from error
    play_in_terminal(engine, hello)


def _game_factory(agent: Agent, options: Play, target: Target) -> tuple[MakeEnv | None, str]:
    """Return ``(factory, "")``, or ``(None, reason)`` if there is no real game."""
    seeds = np.random.default_rng(options.seed)

    try:
        game = check_env(agent, options.env, target)
    except UserError as error:
        return None, with_flags(str(error), flags_of(Play))

    def make(training: bool) -> RealVectorEnv:
        return make_env(game, 1, int(seeds.integers(2**31)), training)

    return make, ""


def _starts(agent: Agent, datasets: Mapping[str, Place], make_real: MakeEnv | None) -> Starts:
    """The starts of dreams: from the first dataset with enough frames, else from a game that the agent plays.

    A dataset that the user gave must have enough of them.
    """
    problems = []
    for name, folder in datasets.items():
        try:
            return RecordedStarts(EpisodeStore.open(folder), agent)
        except UserError as error:
            if name == "dataset" or make_real is None:  # the user gave it, or there is no other source
                problems.append(error)
    if problems or make_real is None:
        raise problems[0]
    return PlayedStarts(make_real(False), agent)


def _trained_on(agent: Agent, config: Config, env: EnvConfig | None) -> str:
    """The game or the recording that the agent was trained on, for display."""
    if agent.actor_critic is not None and env is not None:
        return f"{env.game} ({env.suite})"
    return "recording" if config.data is None else f"recording {place_name(config.data)}"


def _hello(agent: Agent, target: Target, origin: str, why_no_real: str, has_policy: bool) -> Hello:
    """The first message to a page."""
    _, height, width = agent.config.obs_shape
    return Hello(
        title="demo agent" if target.path == DEMO else target.name,
        game=origin,
        has_policy=has_policy,
        has_rewards=agent.world_model.predicts_rewards,
        height=height,
        width=width,
        actions=Moves(agent.action_spec).names,
        views=("dream",) if why_no_real else get_args(View),
        why_no_real=why_no_real,
        samplers=() if agent.world_model.sampler is None else tuple(SAMPLERS),
        limits=LIMITS,
    )
