"""The dataset that a recording begins or adds to."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from adamas.core.config import diff, to_dict
from adamas.core.console import counted
from adamas.core.errors import Interrupted, UserError
from adamas.core.seeding import derive_seed
from adamas.data.index import INDEX
from adamas.data.recording import committing, only_writer
from adamas.data.store import EpisodeStore
from adamas.envs.config import EnvConfig, read_env
from adamas.envs.vector import RealVectorEnv


def recorded_before(folder: Path, append: bool) -> EpisodeStore | None:
    """The dataset to which a recording is added, or None if it begins a new one.

    Raises:
        UserError: there is one that holds something, and nothing is to be added to it.
    """
    if not os.path.lexists(folder / INDEX):
        return None
    store = EpisodeStore.open(folder)
    if store.num_rows and not append:
        raise UserError(
            f"{folder} holds {counted(store.num_steps, 'step')} in {counted(store.num_episodes, 'episode')} already; "
            "add to them with `append` (`steps` says how many more), or choose another folder"
        )
    return store


def seed_after(known: EpisodeStore | None, seed: int) -> int:
    """The seed of a recording. One that is added to a dataset gets another seed, or it would repeat its episodes."""
    return seed if known is None or not known.num_rows else derive_seed(seed, "append", known.num_rows)


def store_for(
    folder: Path, known: EpisodeStore | None, env: RealVectorEnv, config: EnvConfig
) -> EpisodeStore:
    """The store for a recording of ``env``: ``known``, or a new one in ``folder``.

    Args:
        folder: the folder of the dataset.
        known: the dataset that is there already, as :func:`recorded_before` finds it.
        env: the game that is recorded.
        config: the configuration of that game.

    Raises:
        UserError: ``known`` has other frames or actions, or is of another game; or the folder cannot be used.
    """
    if known is None:
        return EpisodeStore.create(folder, env.obs_shape, env.action_spec, to_dict(config))
    game = None if known.game is None else read_env(known.game, f"game in {folder}")
    if (known.obs_shape, known.action_spec, game) != (env.obs_shape, env.action_spec, config):
        there = {} if game is None else diff(game, config)
        differences = ", ".join(f"`env.{key}` {old} there, {new} here" for key, (old, new) in there.items())
        raise UserError(
            f"{folder} holds a recording of something else ({differences or 'other frames or actions'}); "
            "record the same, or choose another folder"
        )
    return known


@contextlib.contextmanager
def kept(store: EpisodeStore) -> Iterator[Callable[[], None]]:
    """:func:`~adamas.data.recording.committing` for one process alone; after Ctrl-C the error says how to continue."""
    try:
        with only_writer(store), committing(store) as stored:
            yield stored
    except KeyboardInterrupt:
        kept_steps = counted(store.num_steps, "step")
        raise Interrupted(
            f"interrupted; {kept_steps} are in {store.folder}; add more with the same command and --append"
        ) from None
