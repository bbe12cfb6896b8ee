"""Stable-Baselines3's PPO, trained in the dream of a finished run alone, and scored in the real game.

Run with ``python examples/sb3_in_the_dream.py RUN`` on a folder of ``adamas train quickstart``, after
``pip install -c constraints.txt stable-baselines3==2.9.2``. PPO never takes a real step: those that the run
recorded only say where dreams start.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from gymnasium.spaces import Box
from gymnasium.vector import VectorEnv
from stable_baselines3 import PPO
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv, VecMonitor
from torch import Tensor, nn

import adamas
from adamas.core.protocols import Policy, PolicyOutput
from adamas.envs.make import make_env
from adamas.evaluation.evaluate import bootstrap_interval
from adamas.evaluation.protocol import play_episodes
from adamas.interop.game_env import game_config
from adamas.rl.random_policy import RandomPolicy

PARTS = 6  # of the training, each of which ends with a line


@dataclass(frozen=True)
class Options:
    """Train PPO in the dream of a finished run, and score it in the real game before and after."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    steps: int = 400_000
    """Dreamt steps, rounded up to whole rollouts of PPO."""
    num_envs: int = 128
    """Number of dreams that are stepped in parallel."""
    horizon: int = 60
    """Steps after which a dream is cut off."""
    episodes: int = 128
    """Number of real episodes of each score."""
    seed: int = 0
    """Seed of the dreams, of PPO and of the real games."""


class Dreams(VecEnv):
    """Dreams as a vectorised environment of Stable-Baselines3; episodes that end restart within the step."""

    def __init__(self, dreams: VectorEnv) -> None:
        """Wrap ``dreams``."""
        self.dreams = dreams
        super().__init__(dreams.num_envs, dreams.single_observation_space, dreams.single_action_space)

    def reset(self) -> np.ndarray:
        """Start all dreams, from the seed that was set since the last reset, if any."""
        obs, _ = self.dreams.reset(seed=self._seeds[0])
        self._reset_seeds()
        return obs

    def step_async(self, actions: np.ndarray) -> None:
        """Remember the actions."""
        self.actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Take them. A cut off dream is marked, so that PPO values the frame it was cut off at."""
        obs, reward, terminated, truncated, info = self.dreams.step(self.actions)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for i in np.flatnonzero(terminated | truncated):
            infos[i]["terminal_observation"] = info["final_obs"][i]
            infos[i]["TimeLimit.truncated"] = bool(truncated[i] and not terminated[i])
        return obs, reward, terminated | truncated, infos

    def close(self) -> None:
        """Close the dreams."""
        self.dreams.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute that all dreams share."""
        return [getattr(self.dreams, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Dreams have nothing to set."""
        raise NotImplementedError

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Dreams have no methods of their own."""
        raise NotImplementedError

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """No dream is wrapped."""
        return [False] * len(list(self._get_indices(indices)))


class SmallCnn(BaseFeaturesExtractor):
    """For frames of 10x10 pixels, which are too small for Stable-Baselines3's own CNN."""

    def __init__(self, observation_space: Box) -> None:
        """Make the network for frames (C, H, W)."""
        super().__init__(observation_space, features_dim=128)
        channels, height, width = observation_space.shape
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 16, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(16 * (height - 2) * (width - 2), 128),
            nn.ReLU(),
        )

    def forward(self, obs: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] to (B, 128)."""
        return self.layers(obs)


class PpoPolicy:
    """PPO's policy as a policy of Adamas."""

    def __init__(self, ppo: PPO) -> None:
        """Play as ``ppo``."""
        self.ppo = ppo

    def initial_state(self, batch_size: int) -> tuple[Tensor, ...]:
        """None: PPO sees one frame at a time."""
        return ()

    def __call__(self, obs: Tensor, state: tuple[Tensor, ...]) -> PolicyOutput:
        """Logits for frames (B, C, H, W) uint8; the values are not needed to play."""
        logits = self.ppo.policy.get_distribution(obs).distribution.logits
        return PolicyOutput(logits, torch.zeros(len(obs)), state)


def main(options: Options) -> None:
    """Score, train, score."""
    agent = adamas.load(options.run, "cpu")
    dreams = adamas.make_dream(
        agent, options.run / "dataset" / "train", num_envs=options.num_envs, horizon=options.horizon
    )
    ppo = PPO(
        "CnnPolicy",
        VecMonitor(Dreams(dreams)),
        learning_rate=1e-3,
        n_steps=32,
        batch_size=512,
        n_epochs=4,
        gamma=0.97,
        ent_coef=0.01,
        policy_kwargs={"features_extractor_class": SmallCnn, "net_arch": []},
        seed=options.seed,
        device="cpu",
    )
    report("random policy", RandomPolicy(agent.action_spec), options)
    report("PPO, untrained", PpoPolicy(ppo), options)
    start = time.monotonic()
    for _ in range(PARTS):
        ppo.learn(options.steps // PARTS, reset_num_timesteps=False)
        minutes = (time.monotonic() - start) / 60
        print(
            f"{ppo.num_timesteps:9,d} dreamt steps, {minutes:5.1f} min: {last_dreams(ppo.ep_info_buffer)}",
            flush=True,
        )
    report("PPO, trained in the dream", PpoPolicy(ppo), options)
    report("the run's own policy", agent.policy, options)


def last_dreams(episodes: Sequence[dict[str, float]]) -> str:
    """The return and the length of the last dreams that ended."""
    score, length = (np.mean([episode[key] for episode in episodes]) for key in "rl")
    return f"the last {len(episodes)} dreams gave {score:.2f} in {length:.1f} steps"


def report(name: str, policy: Policy, options: Options) -> None:
    """Print a policy's score in the real game; all policies meet the same seeds."""
    env = make_env(game_config(options.run), 16, options.seed, training=False)
    episodes = play_episodes(policy, env, options.episodes, torch.Generator().manual_seed(options.seed))
    env.close()
    scores = np.array([episode.total_reward for episode in episodes])
    interval = bootstrap_interval(scores, options.seed)
    shown = "" if interval is None else "[{:.2f}, {:.2f}]".format(*interval)
    print(f"real game, {len(scores)} episodes: {scores.mean():5.2f} {shown}  {name}", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Options))
