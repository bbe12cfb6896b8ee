"""The examples of the recipes in docs/architecture.md do what the recipes say."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch import Tensor

from adamas.agent import Agent
from adamas.commands.train import parse_start
from adamas.core.config import from_dict, to_dict, with_value
from adamas.core.errors import UserError
from adamas.core.types import Batch
from adamas.data.importing import find
from adamas.data.importing.run import ImportOptions, import_recordings
from adamas.diffusion import samplers
from adamas.diffusion.samplers import SamplerConfig
from adamas.envs import make
from adamas.presets import PRESETS
from adamas.rl.learner import LearnerConfig
from adamas.training.build import new_run
from adamas.training.config import Config
from adamas.world_models.diamond import world as diamond
from tests.helpers.diamond import model_config
from tests.helpers.game_parts import game_of
from tests.helpers.tiny_agent import tiny_network
from tests.helpers.tiny_config import tiny_config
from tests.recipes.command import count
from tests.recipes.denoiser import FlowConfig, FlowDenoiser
from tests.recipes.environment import RowConfig, RowEnvs
from tests.recipes.importer import safetensors
from tests.recipes.learner import EliteConfig
from tests.recipes.metric import loss_with_confidence
from tests.recipes.preset import freeway_debug
from tests.recipes.sampler import dpm_solver_2m

Patch = pytest.MonkeyPatch


def metrics_of(config: Config, run_dir: Path) -> list[dict[str, Any]]:
    """What a run logs."""
    with closing(new_run(config, run_dir, quiet=True)) as trainer:
        trainer.run()
    return [json.loads(line) for line in (run_dir / "metrics" / "metrics.jsonl").read_text().splitlines()]


def test_an_environment_is_trained_on(monkeypatch: Patch, tmp_path: Path) -> None:
    monkeypatch.setattr(make, "_SUITES", {**make._SUITES, RowConfig: RowEnvs})
    env: Any = RowConfig(max_episode_steps=30)
    logged = metrics_of(replace(tiny_config(), env=env), tmp_path / "run")
    assert {"collect", "denoiser", "actor_critic", "evaluate"} <= {r["phase"] for r in logged}
    assert any(r["phase"] == "collect" and r["nonzero_reward_rate"] > 0 for r in logged)


def test_an_environment_goes_on_from_a_snapshot() -> None:
    env = RowEnvs(RowConfig(), num_envs=3, seed=0)
    env.reset()
    action = torch.tensor([0, 1, 1])
    for _ in range(4):
        step = env.step(action)
    other = RowEnvs(RowConfig(), num_envs=3, seed=1)
    restored = other.restore(env.snapshot())
    assert restored is not None and torch.equal(restored.obs, step.obs)
    for _ in range(20):
        assert torch.equal(env.step(action).obs, other.step(action).obs)


def gaussian(x: Tensor, sigma: Tensor) -> Tensor:
    """The ideal denoiser of data from N(0, 0.5^2)."""
    return x * 0.25 / (0.25 + sigma**2)


def test_a_sampler_follows_the_path_more_closely_than_euler(monkeypatch: Patch) -> None:
    noise = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    config = SamplerConfig(num_steps=20, scale_initial_noise=True)
    exact = noise * config.sigma_max * 0.5 / (0.25 + config.sigma_max**2) ** 0.5
    euler = samplers.sample_path(gaussian, noise, config)
    monkeypatch.setattr(samplers, "SAMPLERS", {"euler": dpm_solver_2m})  # under a name that the option knows
    path = samplers.sample_path(gaussian, noise, config)
    assert len(path) == 21 and torch.equal(path[0], euler[0])
    assert (path[-1] - exact).abs().mean() < 0.25 * (euler[-1] - exact).abs().mean()


def flow_agent(agent: Agent, monkeypatch: Patch) -> diamond.Diamond:
    """The small agent's world model with another denoiser."""
    monkeypatch.setattr(diamond, "DENOISERS", {**diamond.DENOISERS, FlowConfig: FlowDenoiser})
    network = tiny_network(context_length=4)
    denoiser: Any = FlowConfig(network=network)
    config = replace(model_config(agent.config), denoiser=denoiser, sampler=SamplerConfig(num_steps=4))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return diamond.Diamond(config, agent.config.obs_shape, agent.action_spec)


def test_a_denoiser_learns_and_dreams(agent: Agent, monkeypatch: Patch) -> None:
    model, generator = flow_agent(agent, monkeypatch), torch.Generator().manual_seed(0)
    component = model.components(horizon=4)["denoiser"]
    frames = component.segments.num_frames
    mask = torch.ones(8, frames, dtype=torch.bool)
    steps = torch.zeros(8, frames - 1)
    batch = Batch(
        obs=torch.zeros(8, frames, 3, 10, 10, dtype=torch.uint8),
        action=steps.long(),
        reward=steps,
        terminated=steps.bool(),
        truncated=steps.bool(),
        mask=mask,
    )
    optimizer = torch.optim.AdamW(component.module.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        loss, _ = component.loss(batch, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]
    state, _ = model.start(batch.first_frames(model.context_length))
    _, imagined = model.imagine(state, torch.zeros(8, dtype=torch.int64), generator)
    assert imagined.features.shape == (8, 3, 10, 10) and imagined.features.float().mean() < 100


def test_an_importer_keeps_frames_and_actions(monkeypatch: Patch, tmp_path: Path) -> None:
    monkeypatch.setattr(find, "ARRAYS", {**find.ARRAYS, ".safetensors": safetensors})
    frames = np.random.default_rng(0).integers(256, size=(6, 8, 8, 3), dtype=np.uint8)
    action, reward = np.array([0, 1, 2, 1, 0]), np.array([0.0, 0, 1, 0, 0])
    (tmp_path / "drives").mkdir()
    save_file({"obs": frames, "action": action, "reward": reward}, tmp_path / "drives" / "a.safetensors")
    store = import_recordings(tmp_path / "drives", tmp_path / "out", None, ImportOptions(), note=print)
    episode = store.episode(0)
    assert np.array_equal(episode.obs, frames.transpose(0, 3, 1, 2))
    assert episode.action.tolist() == action.tolist() and episode.reward.tolist() == reward.tolist()
    (tmp_path / "drives" / "a.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"a\.safetensors cannot be read"):
        import_recordings(tmp_path / "drives", tmp_path / "other", None, ImportOptions(), note=print)


def test_a_preset_is_an_argument_of_train(monkeypatch: Patch) -> None:
    monkeypatch.setitem(PRESETS, "freeway-debug", freeway_debug)
    config = parse_start("freeway-debug", ["--seed", "3", "--horizon", "6"]).config
    assert (config.seed, game_of(config).env.game, config.horizon) == (3, "freeway", 6)
    assert from_dict(Config, to_dict(config)) == config


def test_a_command_reads_a_run(dreamer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    count([str(dreamer)])
    assert capsys.readouterr().out.splitlines() == ["test: 60", "train: 60"]
    count([str(dreamer), "--episodes"])
    names, numbers = zip(*(line.split(": ") for line in capsys.readouterr().out.splitlines()), strict=True)
    assert names == ("test", "train") and all(2 <= int(number) < 60 for number in numbers)
    with pytest.raises(UserError, match="did you mean --episodes"):
        count([str(dreamer), "--episode", "True"])


def test_a_metric_of_the_policy_is_logged(monkeypatch: Patch, tmp_path: Path) -> None:
    pytest.importorskip("minatar")
    monkeypatch.setattr("adamas.rl.reinforce.reinforce_loss", loss_with_confidence)
    logged = metrics_of(tiny_config(), tmp_path / "run")
    found = [r["action_probability"] for r in logged if r["phase"] == "actor_critic"]
    assert found and all(0.2 < probability < 0.5 for probability in found)


def test_a_learner_trains_the_policy_in_dreams_and_in_the_game(monkeypatch: Patch, tmp_path: Path) -> None:
    pytest.importorskip("minatar")
    monkeypatch.setitem(LearnerConfig.kinds, "elite", EliteConfig)
    learner: Any = EliteConfig()
    config = with_value(tiny_config(), "training.actor_critic.learner", learner)
    phases: dict[Any, str] = {"on": "actor_critic", "off": "collect"}
    for imagination, phase in phases.items():
        logged = metrics_of(replace(config, imagination=imagination), tmp_path / imagination)
        losses = [record["loss"] for record in logged if record["phase"] == phase and "loss" in record]
        assert losses and all(loss > 0 for loss in losses)
