"""The data source of a run: a game to play, or recordings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from adamas.agent import AgentConfig
from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.core.protocols import Component
from adamas.core.seeding import derive_seed
from adamas.data.index import is_dataset
from adamas.data.locations import is_url, join
from adamas.data.prefetch import PrefetchingSampler
from adamas.data.sampling import SegmentSampler
from adamas.data.small import with_small_frames
from adamas.data.store import EpisodeStore
from adamas.envs.config import read_env
from adamas.envs.make import make_env
from adamas.envs.vector import RealVectorEnv
from adamas.training.config import CollectionConfig, Config, GameParts

PROGRESS_SECONDS = 10  # between two progress lines while small frames are made


def make_envs(game: GameParts | None, seed: int) -> Iterator[RealVectorEnv]:
    """Create the environments for training, then those for held-out episodes. Without a game there are none.

    Args:
        game: the game of a run, and how it is played.
        seed: the seed of the run.
    """
    if game is None:
        return
    for name in ("env", "heldout"):
        yield make_env(game.env, game.collection.num_envs, derive_seed(seed, name), training=True)


def agent_for(config: Config, obs_shape: tuple[int, int, int], actions: ActionSpec) -> AgentConfig:
    """The configuration of a run's agent, for frames (C, H, W) and actions."""
    return AgentConfig(
        obs_shape=obs_shape,
        actions=actions,
        world_model=config.world_model,
        actor_critic=config.actor_critic,
    )


def playing(config: Config, env: RealVectorEnv) -> AgentConfig:
    """The configuration of an agent for a game."""
    return agent_for(config, env.obs_shape, env.action_spec)


def num_epochs(collection: CollectionConfig, final_epochs: int, real_steps: int) -> int:
    """Number of epochs that collect the rest of the real steps, plus the final epochs.

    Args:
        collection: how many steps are collected, at which pace.
        final_epochs: number of epochs after that.
        real_steps: steps that have been collected before the first epoch.
    """
    left = max(0, collection.total_steps - real_steps)
    return -(-left // collection.steps_per_epoch) + final_epochs


def on_recordings(config: Config, place: str) -> Config:
    """``config`` as a run on the recordings in ``place``, which plays no game and trains no policy.

    A run on recordings has ``final_epochs`` epochs, and presets for games may have 0 of them. Such a run gets as many
    epochs as the same preset has in its game.

    Raises:
        UserError: ``config`` trains a policy without a world model.
    """
    game = config.game_parts
    if game is None:
        return replace(config, data=place)
    epochs = num_epochs(game.collection, config.final_epochs, game.collection.first_steps)
    return replace(
        config,
        env=None,
        data=place,
        actor_critic=None,
        collection=None,
        training=replace(config.training, actor_critic=None),
        final_epochs=config.final_epochs or max(1, epochs),
    )


def recorded(config: Config) -> tuple[Config, AgentConfig]:
    """Adapt a run to its recordings.

    Returns:
        The configuration, whose ``env`` is the game that was recorded if they name it, and the agent for the recorded
        frames and actions. It has no reward/end model if the recordings hold neither rewards nor true ends.

    Raises:
        UserError: there are no epochs or no recordings, they are not split into train and test, the two parts differ,
            or the recordings do not say what their actions are.
    """
    if not config.final_epochs:
        raise UserError("`final_epochs` is 0, and a run on recordings has no other epochs; give at least 1")
    place = str(config.data)
    if not is_url(place) and not Path(place).is_dir():
        raise UserError(f"there are no recordings in {place}; name their folder with `data`")
    if is_dataset(place):
        raise UserError(
            f"{place} is not split into train and test; split it, and train on the result: adamas data split {place}"
        )
    train, test = (EpisodeStore.open(join(place, name)) for name in ("train", "test"))
    if (train.obs_shape, train.action_spec) != (test.obs_shape, test.action_spec):
        raise UserError(f"{config.data}: train and test differ in their frames or actions; split one dataset")
    if train.action_spec is None:
        raise UserError(f"{train.folder} does not say what its actions are; record or import it again")
    game = None if train.game is None else read_env(train.game, f"game in {train.folder}")
    agent = agent_for(config, train.obs_shape, train.action_spec)
    if not train.has_labels:
        agent = replace(agent, world_model=config.world_model.without_labels())
    return replace(config, env=game), agent


def samplers(
    config: Config,
    components: Iterable[Component],
    train: EpisodeStore,
    run_dir: Path,
    quiet: bool,
    make: bool = True,
) -> Callable[[Component], SegmentSampler]:
    """Return a function that chooses the sampler of a component's batches.

    Recordings have no age and do not grow, but they may be slow to read, so their batches are prefetched. Small copies
    of their frames, for components that train on small frames, are made once, by the process with ``make``.
    """
    if (game := config.game_parts) is not None:
        sampler = SegmentSampler(train, game.collection.age_weights, game.collection.episode_weighting)
        return lambda component: sampler
    full = small = PrefetchingSampler(train)
    if shrink := next((component.shrink for component in components if component.shrink), None):
        last_report = time.monotonic()

        def report(done: int) -> None:
            nonlocal last_report
            if not quiet and time.monotonic() - last_report > PROGRESS_SECONDS:
                last_report = time.monotonic()
                print(f"small frames: {done:,} of {train.num_rows:,}", flush=True)

        small = PrefetchingSampler(with_small_frames(train, shrink, run_dir, make, report))
    return lambda component: small if component.shrink else full
