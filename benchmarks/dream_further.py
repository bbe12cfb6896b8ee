"""Is it the dream that holds a policy back? Trains a finished run's policy further in its last dream.

Run with ``python benchmarks/dream_further.py RUN``, for other ways to draw a frame with ``--sampler.num-steps 3
--sampler.sigma-min 0.5 --sampler.scale-initial-noise``. The world model stays as it is; every 50,000 imagined
steps the policy is scored in the real game. What the dream cannot teach shows as a score that stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import tyro

from adamas.agent import Agent
from adamas.core import runtime
from adamas.core.checkpoint import find_checkpoint
from adamas.core.config import from_dict
from adamas.core.errors import UserError
from adamas.core.meters import Meter
from adamas.core.seeding import Streams
from adamas.core.workers import Workers
from adamas.data import EpisodeStore, SegmentSampler
from adamas.diffusion.samplers import SamplerConfig
from adamas.dreaming.imagination import Imagination
from adamas.envs.config import EnvConfig
from adamas.envs.make import make_env
from adamas.evaluation.protocol import play_episodes
from adamas.interop.load import load
from adamas.training.config import Config, GameParts
from adamas.training.update_phases import Dreams, PolicyPhase, context_sampler

SCORED_EVERY = 50_000  # imagined steps
EPISODES = 128
SHOWN = ("entropy", "reward_rate", "end_rate")


@dataclass(frozen=True)
class Options:
    """Train a finished run's policy further in its last dream."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    """How the dream draws its frames."""
    steps: int = 250_000
    """Imagined steps."""
    seed: int = 0


def main(options: Options) -> None:
    """Train, and print a line for every score."""
    checkpoint = find_checkpoint(options.run / "checkpoints")
    config = from_dict(Config, checkpoint.config()["run"])
    game = config.game_parts
    if game is None:
        raise UserError(
            f"{options.run} learns from recordings and has no policy; choose a run that plays a game"
        )
    agent = load(options.run, "cpu")
    torch.set_num_threads(1)
    agent.world_model = agent.world_model.with_sampler(options.sampler)
    phase = policy_phase(agent, game, config.horizon, options)
    phase.optimizer.load_state_dict(checkpoint.trainer_state()["phases"]["actor_critic"]["optimizer"])
    per_update = game.training.num_dreams * game.training.steps_per_update
    print(f"imagined steps  real score (standard error)  in the dream: {', '.join(SHOWN)}")
    report(0, agent, game.env, {})
    meter = Meter()
    for update in range(1, options.steps // per_update + 1):
        meter.add(phase.update())
        if update * per_update % SCORED_EVERY < per_update:
            report(update * per_update, agent, game.env, meter.averages())
            meter = Meter()


def policy_phase(agent: Agent, game: GameParts, horizon: int, options: Options) -> PolicyPhase:
    """The run's own policy training, in one shard, in the dream that the agent holds."""
    streams = Streams(options.seed)
    store = EpisodeStore.open(options.run / "dataset" / "train")
    sampler = SegmentSampler(store, game.collection.age_weights, game.collection.episode_weighting)
    device = runtime.device_of(agent)
    contexts = context_sampler(sampler, agent.world_model.contexts, streams.numpy("contexts"), device)
    dreams = Imagination(
        agent.world_model,
        contexts,
        game.training.num_dreams,
        horizon,
        agent.config.obs_shape,
        agent.action_spec,
        streams.torch("dreams"),
    )
    return PolicyPhase(agent.policy, game.training, [Dreams(agent.policy, dreams)], Workers(1))


def report(steps: int, agent: Agent, game: EnvConfig, averages: Mapping[str, float]) -> None:
    """Score the policy in the real game, and print it beside what it met in the dream."""
    env = make_env(game, EPISODES, 7, training=False)
    episodes = play_episodes(agent.policy, env, EPISODES, torch.Generator().manual_seed(1))
    env.close()
    scores = np.array([episode.total_reward for episode in episodes])
    dream = "  ".join(f"{averages[name]:.3f}" for name in SHOWN if name in averages)
    print(f"{steps:14,d}  {scores.mean():6.2f} ({scores.std() / EPISODES**0.5:.2f})  {dream}", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Options))
