"""Presets for continuous control, small enough for a CPU. They show that continuous actions (axes) work."""

from __future__ import annotations

from dataclasses import replace

from adamas.envs.config import EnvConfig, GymnasiumConfig
from adamas.presets.atari import atari_small
from adamas.training.config import Config


def car_racing() -> Config:
    """Gymnasium's CarRacing, seen from above, with steering, gas and brake. Needs: pip install 'adamas[box2d]'."""
    return _on(GymnasiumConfig(game="CarRacing-v3", size=32, max_episode_steps=500))


def cartpole() -> Config:
    """Balance a pole on a cart, from the DeepMind Control Suite. Needs: pip install 'adamas[dm-control]'."""
    return _on(GymnasiumConfig(game="shimmy:dm_control/cartpole-balance-v0", size=32, max_episode_steps=500))


def _on(env: EnvConfig) -> Config:
    """``atari_small`` for continuous control. The policy has a lower learning rate, because the gradients of a density
    grow as its standard deviation shrinks."""
    config = atari_small()
    policy = replace(config.policy, optimizer=replace(config.policy.optimizer, lr=3e-4))
    return replace(config, env=env, policy=policy)
