"""Presets for continuous control, small enough for a CPU. They show that continuous actions (axes) work."""

from __future__ import annotations

from dataclasses import replace

from adamas.core.config import with_value
from adamas.envs.config import GymnasiumConfig
from adamas.presets.atari import atari_small
from adamas.training.config import Config


def car_racing() -> Config:
    """Gymnasium's CarRacing, seen from above, with steering, gas and brake. Needs: pip install 'adamas[box2d]'."""
    return _on("CarRacing-v3")


def cartpole() -> Config:
    """Balance a pole on a cart, from the DeepMind Control Suite. Needs: pip install 'adamas[dm-control]'."""
    return _on("shimmy:dm_control/cartpole-balance-v0")


def _on(game: str) -> Config:
    """``atari_small`` for continuous control. The policy has a lower learning rate, because the gradients of a density
    grow as its standard deviation shrinks."""
    config = with_value(atari_small(), "training.actor_critic.optimizer.lr", 3e-4)
    env = GymnasiumConfig(
        game=game,
        size=32,
        width=None,
        max_episode_steps=500,
        frames="auto",
        frames_key=None,
        kwargs="{}",
    )
    return replace(config, env=env)
