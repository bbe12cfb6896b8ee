"""Runs that know nothing, made in a second, for tests of what commands do with one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from adamas import cli
from adamas.agent import Agent
from adamas.core.actions import ActionSpec
from adamas.core.checkpoint import save_checkpoint
from adamas.core.config import load_config, save_config, to_dict
from adamas.envs.config import MinAtarConfig
from adamas.presets import preset
from adamas.training.config import Config
from adamas.training.source import agent_for, on_recordings
from tests.helpers.diamond import model_config, training


def make_breakout_run(run: Path) -> None:
    """A run of an untrained agent for MinAtar Breakout in the folder ``run``, with what it played."""
    config = replace(preset("debug"), env=MinAtarConfig(game="breakout", size=10, max_episode_steps=50))
    agent = agent_for(config, (3, 10, 10), ActionSpec.discrete(("noop", "left", "right")))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        weights = Agent(agent).state_dict()
    save_checkpoint(run / "checkpoints", 1, weights, {"agent": to_dict(agent), "run": to_dict(config)}, {})
    save_config(run / "config.yaml", config)
    for name, seed in (("train", "1"), ("test", "2")):
        folder = str(run / "dataset" / name)
        played = ["--steps", "60", "--num-envs", "2", "--seed", seed, "--device", "cpu"]
        cli.run(["data", "record", folder, "--agent", str(run), *played])


def as_if_recorded(run: Path, name: str) -> None:
    """Turn a run of :func:`make_breakout_run` into a run on recordings called ``name``, without rewards and policy."""
    recordings = (run.parent / name).absolute()
    config = on_recordings(load_config(run / "config.yaml", Config), str(recordings))
    config = replace(
        config,
        world_model=replace(model_config(config), reward_end=None),
        training=replace(training(config), reward_end=None),
    )
    agent = agent_for(config, (3, 10, 10), ActionSpec.discrete(("noop", "left", "right")))
    weights = Agent(agent).state_dict()
    save_checkpoint(run / "checkpoints", 2, weights, {"agent": to_dict(agent), "run": to_dict(config)}, {})
    save_config(run / "config.yaml", config)
    (run / "dataset").rename(recordings)
    (run / "dataset").symlink_to(recordings)
