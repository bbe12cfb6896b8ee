"""A small agent to be saved in the published format."""

from __future__ import annotations

import pytest
import torch

from adamas.agent import Agent
from tests.helpers.published_agent import SMALL


@pytest.fixture
def small() -> Agent:
    torch.manual_seed(0)
    return Agent(SMALL).eval()
