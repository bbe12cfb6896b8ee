"""docs/world_models.md counts parameters correctly, and compares every kind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from adamas.agent import Agent, AgentConfig
from adamas.core.actions import ActionSpec
from adamas.envs.config import AtariConfig
from adamas.presets import preset
from adamas.world_models.base import WorldModelConfig

PAGE = (Path(__file__).parents[2] / "docs" / "world_models.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `([\w-]+)` \| `(\w+)` \| ([\d,]+) \|$", PAGE, re.M)  # preset, part, parameters


@pytest.mark.parametrize("name", dict.fromkeys(name for name, _, _ in ROWS))
def test_parameters_are_counted(name: str) -> None:
    config = preset(name)
    assert config.env is not None
    actions = ActionSpec.numbered(4 if isinstance(config.env, AtariConfig) else 3)
    with torch.device("meta"):
        agent = Agent(
            AgentConfig(
                obs_shape=config.env.obs_shape,
                actions=actions,
                world_model=config.world_model,
                actor_critic=config.actor_critic,
            )
        )
    parts = {**dict(agent.world_model.named_children()), "actor_critic": agent.policy}
    counted = {part: sum(p.numel() for p in module.parameters()) for part, module in parts.items()}
    assert counted == {part: int(n.replace(",", "")) for row, part, n in ROWS if row == name}


def test_every_kind_is_compared() -> None:
    tables = [line for line in PAGE.splitlines() if re.match(r"\| \| `\w+` \|", line)]
    assert len(tables) == 2 and len(ROWS) == 12
    assert all(re.findall(r"`(\w+)`", header) == list(WorldModelConfig.kinds) for header in tables)
