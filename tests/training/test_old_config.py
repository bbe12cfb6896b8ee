"""Configurations of version 0.1, whose parts had other names and places, and agents of its runs on recordings."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

import adamas
from adamas.agent import Agent, AgentConfig
from adamas.core.checkpoint import find_checkpoint, save_checkpoint
from adamas.core.config import from_dict, save_config, to_dict, with_value
from adamas.core.errors import UserError
from adamas.envs.config import AtariConfig, MinAtarConfig
from adamas.presets import PRESETS, preset
from adamas.rl.actor_critic import ActorCriticConfig
from adamas.rl.part_training import ComponentTraining
from adamas.training.build import new_run, resume_run
from adamas.training.config import Config
from adamas.training.source import on_recordings
from tests.helpers.diamond import training
from tests.helpers.game_parts import game_of
from tests.training.test_on_recordings import record

POLICY = {"num_dreams": 4, "steps_per_update": 5, "first_epoch_updates": 3, "updates_per_epoch": 3}


def old(config: Config) -> dict[str, Any]:
    """Plain values of a configuration as version 0.1 wrote it, where every run had all parts."""
    values = to_dict(config)
    training = values.pop("training")
    component = to_dict(ComponentTraining(batch_size=7))
    for name in ("denoiser", "reward_end", "upsampler"):
        values[name] = training[name] or component
    values["policy"] = (training["actor_critic"] or POLICY) | {"horizon": values.pop("horizon")}
    values["actor_critic"] = values["actor_critic"] or to_dict(ActorCriticConfig(lstm_dim=8))
    values["collection"] = values["collection"] or {"num_envs": 3}
    values["env"] = values["env"] or to_dict(AtariConfig())
    return values


@pytest.mark.parametrize("name", [name for name in PRESETS if preset(name).world_model.kind == "diamond"])
def test_an_old_configuration_means_the_same(name: str) -> None:
    assert from_dict(Config, old(preset(name))) == preset(name)


def test_recordings_of_a_game_keep_it() -> None:
    game = MinAtarConfig(game="breakout", size=10)
    values = old(preset("static")) | {"env": to_dict(game)}
    assert from_dict(Config, values).env == game


def test_what_an_old_file_leaves_out_has_todays_default() -> None:
    config = from_dict(Config, {"policy": {"num_dreams": 8}, "denoiser": {"batch_size": 16}})
    assert (game_of(config).training.num_dreams, config.horizon) == (8, 15)
    assert training(config).denoiser.batch_size == 16 and training(config).reward_end is not None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"policy": 3}, r"'training\.actor_critic' must be a mapping"),
        ({"policy": {"horizon": "long"}}, r"'horizon' must be int"),
        ({"denoiser": {"batch": 3}}, r"'training\.denoiser\.batch'; did you mean 'batch_size'"),
        ({"denoiser": {}, "training": {}}, r"unknown configuration key 'denoiser'"),
        ({"denoiser": {}, "world_model": 3}, r"'world_model' must be a mapping"),
        ({"denoiser": {}, "data": "mine", "env": 3}, r"'env' must be a mapping"),
    ],
)
def test_what_does_not_fit_is_named_by_its_new_key(values: Mapping[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        from_dict(Config, values)


@pytest.fixture
def old_run(tmp_path: Path) -> Path:
    """A run on recordings as version 0.1 left it: stopped before its first epoch, with a policy that never learnt."""
    for seed, name in enumerate(("train", "test")):
        record(tmp_path / "mine" / name, 3, seed)
    config = with_value(on_recordings(preset("debug"), str(tmp_path / "mine")), "final_epochs", 1)
    run = tmp_path / "run"
    with closing(new_run(config, run, quiet=True)) as trainer:
        trainer.save()
    checkpoint = find_checkpoint(run / "checkpoints")
    agent = checkpoint.config()["agent"] | {"actor_critic": {"lstm_dim": 8, "channels": [8], "down": [True]}}
    values = {"agent": agent, "run": old(config)}
    with torch.random.fork_rng(devices=[]):
        weights = Agent(from_dict(AgentConfig, agent)).state_dict() | checkpoint.agent_weights()
    assert any(name.startswith("actor_critic.") for name in weights)
    save_checkpoint(run / "checkpoints", 0, weights, values, checkpoint.trainer_state())
    save_config(run / "config.yaml", config)
    return run


def test_an_old_agent_of_recordings_loses_the_policy_that_never_learnt(old_run: Path) -> None:
    saved = find_checkpoint(old_run / "checkpoints").agent_weights()
    agent = adamas.load(old_run, "cpu")
    assert agent.actor_critic is None and agent.config.actor_critic is None
    weights = agent.state_dict()
    assert weights.keys() == {name for name in saved if not name.startswith("actor_critic.")}
    assert all(torch.equal(tensor, saved[name]) for name, tensor in weights.items())


def test_an_old_run_on_recordings_resumes_as_one_of_today(old_run: Path, tmp_path: Path) -> None:
    config = find_checkpoint(old_run / "checkpoints").config()["run"]
    weights = []
    for trainer in (
        resume_run(old_run, quiet=True),
        new_run(from_dict(Config, config), tmp_path / "new", quiet=True),
    ):
        with closing(trainer):
            trainer.run()
            weights.append(trainer.agent.state_dict())
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())
