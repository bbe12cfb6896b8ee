"""A world model of another kind than the paper's is counted, planned, timed and uploaded, and not exported."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from adamas.agent import Agent
from adamas.bench.agreement import cuda_graph_results, network_results
from adamas.bench.contents import agent_config, outline, phases
from adamas.bench.flops import run_flops
from adamas.bench.plan import memory_bytes, seconds_here
from adamas.bench.workloads import rows_of, small_run
from adamas.commands.push import model_card
from adamas.core.errors import UserError
from adamas.export.onnx import export_onnx
from tests.helpers.other_kind import matrix_config

CONFIG = matrix_config()


def test_its_operations_are_counted_although_they_depend_on_values() -> None:
    agent = agent_config(CONFIG)
    counted, pixels = run_flops(CONFIG, agent), math.prod(agent.obs_shape)
    assert list(counted.updates) == ["matrix", "actor_critic"] and not counted.calls
    assert counted.updates["matrix"] == 3 * 4 * 2 * pixels**2
    without = run_flops(CONFIG, replace(agent, actor_critic=None))
    assert without.dream_step == 2 * pixels**2 < counted.dream_step


def test_its_rows_do_their_work(tmp_path: Path) -> None:
    with closing(small_run(CONFIG, tmp_path / "run")) as trainer:
        rows = rows_of(CONFIG, trainer.agent)
        assert list(rows) == [
            "dream step, batch 1",
            "dream step, batch 32",
            "matrix update",
            "actor-critic update",
            "environment step",
            "replay draw",
            "quickstart epoch",
        ]
        for row in rows.values():
            if row.preset is None:
                row.work(trainer).do()


def test_it_is_planned() -> None:
    agent = agent_config(CONFIG)
    assert list(seconds_here(CONFIG)) == ["matrix", "actor_critic"] == list(phases(CONFIG, outline(agent)))
    everything = sum(parameter.numel() for parameter in Agent(agent).parameters())
    assert memory_bytes(CONFIG, agent)["weights"] == 4 * 4 * everything


def test_only_its_policy_is_compared_between_devices() -> None:
    agent = Agent(agent_config(CONFIG))
    assert list(network_results(agent)) == ["actor_critic"] and not cuda_graph_results(agent)


def test_its_page_on_the_hub_says_nothing_about_diffusion() -> None:
    card = model_card("hf://me/x", Agent(agent_config(CONFIG)), CONFIG, None, "mit")
    assert "The world model is of the kind matrix." in card
    assert "diffusion" not in card and "denoising" not in card and "DIAMOND" not in card


def test_it_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"only diffusion world models \(kind diamond\) can be exported, .* matrix;"
    ):
        export_onnx(Agent(agent_config(CONFIG)), tmp_path)
    assert not list(tmp_path.iterdir())
