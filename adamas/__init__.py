"""Adamas trains reinforcement-learning agents inside world models (DIAMOND, IRIS).

agent = adamas.load("runs/breakout")
games = adamas.make_env("runs/breakout", num_envs=8)
obs, _ = games.reset()
action, state = agent.act(obs)
dreams = adamas.make_dream("runs/breakout", num_envs=8)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adamas.agent import Agent
    from adamas.diffusion.denoiser import sample
    from adamas.envs.config import AtariConfig, GymnasiumConfig, MinAtarConfig, VizdoomConfig
    from adamas.interop.dream_env import make_dream
    from adamas.interop.game_env import make_env
    from adamas.interop.load import load

__version__ = "0.2.0"
__all__ = [
    "Agent",
    "AtariConfig",
    "GymnasiumConfig",
    "MinAtarConfig",
    "VizdoomConfig",
    "__version__",
    "load",
    "make_dream",
    "make_env",
    "sample",
]

_HOMES = {
    "Agent": "adamas.agent",
    "AtariConfig": "adamas.envs.config",
    "GymnasiumConfig": "adamas.envs.config",
    "MinAtarConfig": "adamas.envs.config",
    "VizdoomConfig": "adamas.envs.config",
    "load": "adamas.interop.load",
    "make_dream": "adamas.interop.dream_env",
    "make_env": "adamas.interop.game_env",
    "sample": "adamas.diffusion.denoiser",
}


def __getattr__(name: str) -> Any:
    """Import public names when they are first used, so that ``import adamas`` does not wait for PyTorch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'adamas' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names, also those that have not been imported yet."""
    return sorted(__all__)
