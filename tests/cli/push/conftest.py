"""A hub, and a run to be uploaded to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from adamas.agent import Agent, AgentConfig
from adamas.core.actions import ActionSpec
from adamas.core.checkpoint import save_checkpoint
from adamas.core.config import save_config, to_dict
from tests.helpers.hub_stand_in import TOKEN, StandIn, connect, stand_in
from tests.helpers.pushed_run import CONFIG, TRAINER


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandIn]:
    with stand_in() as (hub, _):
        connect(monkeypatch, hub.endpoint, tmp_path / "home", TOKEN)
        yield hub


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run with two checkpoints and no scores, of an agent that knows nothing."""
    run = tmp_path / "run"
    agent_config = AgentConfig(
        obs_shape=(3, 10, 10),
        actions=ActionSpec.discrete(("noop", "left", "right")),
        world_model=CONFIG.world_model,
        actor_critic=CONFIG.actor_critic,
    )
    for step in (1, 2):
        torch.manual_seed(step)
        config = {"agent": to_dict(agent_config), "run": to_dict(CONFIG)}
        trainer = TRAINER | {"secret": step}
        save_checkpoint(run / "checkpoints", step, Agent(agent_config).state_dict(), config, trainer)
    save_config(run / "config.yaml", CONFIG)
    (run / "metrics").mkdir()
    for name in ("metrics", "timing"):
        (run / "metrics" / f"{name}.jsonl").touch()
    (run / "dataset").mkdir()
    (run / "dataset" / "frames.bin").write_bytes(b"private")
    return run
