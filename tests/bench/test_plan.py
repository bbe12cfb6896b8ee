"""Plans multiply the right numbers, and the operations they count are those that are done."""

from __future__ import annotations

import json
import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torch.nn.attention import SDPBackend, sdpa_kernel

from adamas.agent import Agent
from adamas.bench import contents
from adamas.bench import plan as planning
from adamas.bench.flops import count_flops, run_flops
from adamas.bench.plan import memory_bytes, plan, seconds_by_profile
from adamas.bench.workloads import small_run, update_row
from adamas.cli import run
from adamas.core.actions import ActionSpec, Axis
from adamas.core.config import with_value
from adamas.core.errors import UserError
from adamas.presets import PRESETS, preset
from adamas.rl.learner import LearnerConfig
from adamas.rl.ppo import PpoConfig
from adamas.rl.reinforce import ReinforceConfig
from adamas.training.config import Config
from tests.helpers.game_parts import game_of

DAY = 24 * 60 * 60


def test_a_plan_is_seconds_times_updates() -> None:
    result = plan(preset("debug"), {"denoiser": 1.0, "reward_end": 10.0, "actor_critic": 100.0})
    assert result.updates == {"denoiser": [3, 3], "reward_end": [3, 3], "actor_critic": [3, 3]}
    assert result.total(slice(1)) == 3 * 111
    assert result.total() == 6 * 111


def test_the_papers_run_on_the_papers_gpu() -> None:
    """543 ms an update, as published for one RTX 4090, and 2.9 days a run (which real games are part of)."""
    result = plan(Config(), {"denoiser": 0.088, "reward_end": 0.115, "actor_critic": 0.340})
    assert len(result.updates["denoiser"]) == 1_000
    assert result.total() / DAY == pytest.approx(2.9, rel=0.25)


def test_first_steps_without_a_world_model_are_part_of_the_first_epoch() -> None:
    """debug: 80 first steps, two epochs of 40, 2 environments, 5 steps of each to an update: 8 updates, 4 an epoch."""
    config = replace(preset("debug"), imagination="off")
    assert plan(config, {"collect": 1.0}).updates == {"collect": [12, 4]}
    config = with_value(config, "collection.total_steps", 130)  # the last epoch has 10 left
    assert plan(config, {"collect": 1.0}).updates == {"collect": [12, 1]}


def test_recordings_are_planned_for_their_epochs() -> None:
    seconds = {"denoiser": 1.0, "upsampler": 10.0}
    result = plan(preset("vizdoom"), seconds)
    assert result.updates == {"denoiser": [320] * 8, "upsampler": [30] * 8}
    assert result.total() == 8 * (320 + 300)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_planned(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a machine where everything seems quick to time; nothing is timed."""
    config, timed = preset(name), list[str]()
    if name == "cartpole":  # its game needs a package that tests do without
        game = SimpleNamespace(obs_shape=game_of(config).env.obs_shape, action_spec=LEVER, close=lambda: None)
        monkeypatch.setattr(contents, "make_env", lambda *_, **__: game)

    def seconds_here(config: Config) -> dict[str, float]:
        timed.extend(contents.phases(config, contents.outline(contents.agent_config(config))))
        return dict.fromkeys(timed, 1.0)

    monkeypatch.setattr(planning, "peak_gflops", lambda *_: 1e9)
    monkeypatch.setattr(planning, "least_seconds", lambda *_: {"denoiser": 0.1})
    monkeypatch.setattr(planning, "seconds_here", seconds_here)
    run(["plan", name])
    out = capsys.readouterr().out
    if config.world_model.kind == "iris":
        assert timed == ["tokenizer", "dynamics", "actor_critic"]
        return
    upsampler = ["upsampler"] if name in ("vizdoom", "driving", "csgo") else []
    if config.data is None:
        assert timed == ["denoiser", "reward_end", "actor_critic"]
        assert "replay" in out and "real games come on top" in out
    else:
        reward_end = ["reward_end"] if name in ("static", "static-small", "driving") else []
        assert timed == ["denoiser", *reward_end, *upsampler]
        assert "replay" not in out and "real games" not in out
        assert f"no recordings in {config.data}: made-up frames" in out
    assert all(phase in out for phase in timed)


LEVER = ActionSpec(axes=(Axis("lever"),))


@pytest.mark.parametrize("name", ["driving", "ablation-ddpm", "ablation-cross-attention", "iris-quickstart"])
def test_operations_of_every_kind_of_model_are_counted(name: str) -> None:
    config = preset(name)
    counted = run_flops(config, contents.agent_config(config))
    assert min(counted.updates.values()) > counted.dream_step > max(counted.calls.values(), default=0) >= 0


def test_every_pass_over_a_rollout_is_counted() -> None:
    """PPO: a pass to act, and three for each epoch; REINFORCE: three in all."""
    config = preset("iris-quickstart")
    agent = contents.agent_config(config)

    def cost(rule: LearnerConfig) -> float:
        assert config.training.actor_critic is not None
        policy = replace(config.training.actor_critic, learner=rule)
        changed = replace(config, training=replace(config.training, actor_critic=policy))
        return run_flops(changed, agent).updates["actor_critic"]

    once, twice, four = cost(ReinforceConfig()), cost(PpoConfig(num_epochs=2)), cost(PpoConfig(num_epochs=4))
    assert four - twice == 6 / 4 * (twice - once) > 0


def test_what_would_take_minutes_to_time_is_computed_from_operations(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """csgo: three times 128 x 5 targets of 31.8 GFLOP, at 200 GFLOP/s 305 s; 32 x 2 of 85.8, 82 s."""
    monkeypatch.setattr(planning, "peak_gflops", lambda *_: 200.0)
    monkeypatch.setattr(planning, "seconds_here", None)  # not called
    run(["plan", "csgo"])
    out = capsys.readouterr().out
    assert "an update, at least" in out
    assert re.search(r"denoiser +305,\d{3} ms", out)
    assert re.search(r"upsampler +82,\d{3} ms", out)
    assert "adamas bench csgo --json FILE" in out


def test_without_a_world_model_real_steps_are_timed(capsys: pytest.CaptureFixture[str]) -> None:
    run(["plan", "debug", "--imagination", "off"])
    out = capsys.readouterr().out
    assert "collect" in out and "denoiser" not in out
    assert "2 epochs, real steps included" in out


def test_operations_are_those_of_real_updates(tmp_path: Path) -> None:
    config = preset("debug")
    with closing(small_run(config, tmp_path / "run")) as trainer:
        expected = run_flops(config, trainer.agent.config).updates
        assert list(expected) == ["denoiser", "reward_end", "actor_critic"]
        for name in expected:
            trainer.phases[name].begin(1)
            # Not counted there: recurrent layers on a CPU. Not needed there: the derivative by the first input.
            # Not foreseen: dreams that end early, as most of an untrained model's do.
            with sdpa_kernel(SDPBackend.MATH):  # those of the usual kernel on a CPU are not counted
                counted = count_flops(trainer.phases[name].update)
            assert counted == pytest.approx(expected[name], rel=0.2 if name == "actor_critic" else 0.1), name


def test_a_profile_says_how_fast_another_machine_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows: list[dict[str, Any]] = [
        {"row": update_row(phase), "fast": {"gflops": 2.0}}
        for phase in ("denoiser", "reward_end", "actor_critic")
    ]
    file = tmp_path / "profile.json"
    file.write_text(json.dumps({"rows": rows}))
    config = preset("debug")
    agent = contents.agent_config(config)
    seconds = seconds_by_profile(config, agent, file)
    rows[0]["fast"]["gflops"] = 1.0
    file.write_text(json.dumps({"rows": rows}))
    assert seconds_by_profile(config, agent, file) == seconds | {"denoiser": 2 * seconds["denoiser"]}
    run(["plan", "debug", "--profile", str(file)])
    out = capsys.readouterr().out
    assert "2 epochs" in out
    assert "reward_end" in out
    file.write_text("{}")
    with pytest.raises(
        UserError, match="it needs rows denoiser update, reward-end update, actor-critic update;"
    ):
        seconds_by_profile(config, agent, file)


def test_without_a_profile_this_machine_is_timed(capsys: pytest.CaptureFixture[str]) -> None:
    run(["plan", "debug"])
    assert "actor_critic" in capsys.readouterr().out
    with pytest.raises(UserError, match="plan needs a preset"):
        run(["plan"])


def test_memory_of_the_papers_run() -> None:
    memory = memory_bytes(Config(), contents.agent_config(Config()))
    assert memory["replay"] == 100_000 * 3 * 64 * 64
    # The paper: 13 M parameters. Weights, gradients, two moments; nothing is averaged.
    assert memory["weights"] == pytest.approx(4 * 4 * 13e6, rel=0.1)


def test_memory_is_that_of_what_is_trained() -> None:
    config = replace(preset("debug"), imagination="off")
    agent = contents.agent_config(config)
    model = Agent(agent)
    everything, policy, denoiser = (
        sum(p.numel() for p in part.parameters()) for part in (model, model.policy, model.denoiser)
    )
    assert memory_bytes(config, agent)["weights"] == 4 * (everything + 3 * policy)
    # The denoiser of debug is averaged.
    assert memory_bytes(preset("debug"), agent)["weights"] == 4 * (4 * everything + denoiser)
    assert list(memory_bytes(preset("driving"), contents.agent_config(preset("driving")))) == ["weights"]
