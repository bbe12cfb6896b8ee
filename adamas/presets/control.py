"""Presets for continuous control, at sizes that a CPU cycles through. They show that axes work from end to end."""

from __future__ import annotations

from dataclasses import replace

from adamas.envs.config import EnvConfig
from adamas.presets.atari import atari_small
from adamas.training.config import Config


def car_racing() -> Config:
    """Gymnasium's race track from above, with steering, gas and brake: pip install 'adamas[box2d]'."""
    return _on(EnvConfig("gymnasium", "CarRacing-v3", size=32, max_episode_steps=500))


def cartpole() -> Config:
    """Balancing a pole on a cart, of DeepMind's control suite: pip install 'adamas[dm-control]'."""
    return _on(
        EnvConfig("gymnasium", "shimmy:dm_control/cartpole-balance-v0", size=32, max_episode_steps=500)
    )


def _on(env: EnvConfig) -> Config:
    """``atari_small`` on another game, in parts that learn slower: densities that grow narrow have large gradients."""
    config = atari_small()
    policy = replace(config.policy, optimizer=replace(config.policy.optimizer, lr=3e-4))
    return replace(config, env=env, policy=policy)
