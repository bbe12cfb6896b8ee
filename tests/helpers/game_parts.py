"""The parts of a configuration that only a run that plays a game has."""

from __future__ import annotations

from adamas.training.config import Config, GameParts


def game_of(config: Config) -> GameParts:
    """The game, the collection and the policy of a run that plays a game."""
    parts = config.game_parts
    assert parts is not None
    return parts
