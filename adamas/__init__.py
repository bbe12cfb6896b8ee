"""Adamas trains reinforcement-learning agents inside a diffusion world model (DIAMOND).

agent = adamas.load("runs/breakout")
action, state = agent.act(obs, state)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adamas.agent import Agent
    from adamas.diffusion.denoiser import sample
    from adamas.interop.dream_env import make_dream
    from adamas.interop.load import load

__version__ = "0.2.0"
__all__ = ["Agent", "__version__", "load", "make_dream", "sample"]

_HOMES = {
    "Agent": "adamas.agent",
    "load": "adamas.interop.load",
    "make_dream": "adamas.interop.dream_env",
    "sample": "adamas.diffusion.denoiser",
}


def __getattr__(name: str) -> Any:
    """Import public names when they are first used, so that ``import adamas`` does not wait for PyTorch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'adamas' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
