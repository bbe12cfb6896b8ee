"""Example of a preset: ``debug`` with a game of MinAtar and longer dreams."""

from __future__ import annotations

from dataclasses import replace

from adamas.envs.config import MinAtarConfig
from adamas.presets.atari import debug
from adamas.training.config import Config


def freeway_debug() -> Config:
    """MinAtar Freeway in well under a minute, with dreams of 8 steps, for tests."""
    return replace(debug(), env=MinAtarConfig(game="freeway", size=10), horizon=8)
