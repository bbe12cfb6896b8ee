"""An agent in both formats that the hub holds, and what loading it says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import adamas
from adamas.agent import Agent
from adamas.core.checkpoint import save_checkpoint
from adamas.core.config import to_dict
from adamas.core.errors import UserError
from adamas.interop.published import save_published
from tests.helpers.tiny_agent import tiny_agent_config

CONFIG = tiny_agent_config(obs_shape=(3, 8, 8), actions=("stay", "go"))


def agent(seed: int) -> Agent:
    torch.manual_seed(seed)
    return Agent(CONFIG).eval()


def checkpoint(agent: Agent, folder: Path) -> dict[str, bytes]:
    """The two files that an agent needs, as a run writes them."""
    config = {"agent": to_dict(CONFIG), "run": {"seed": 0}}
    path = save_checkpoint(folder, 1, agent.state_dict(), config, {})
    return {name: (path / name).read_bytes() for name in ("agent.safetensors", "config.yaml")}


def published(agent: Agent, folder: Path) -> bytes:
    """A file in the published format."""
    save_published(agent, folder / "agent.pt")
    content = (folder / "agent.pt").read_bytes()
    (folder / "agent.pt").unlink()
    return content


def same(a: Agent, b: Agent) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return list(first) == list(second) and all(torch.equal(first[name], second[name]) for name in first)


def refusal(word: str) -> str:
    """The one line that loading ``word`` ends with."""
    with pytest.raises(UserError) as error:
        adamas.load(word, "cpu")
    assert "\n" not in str(error.value)
    return str(error.value)
