"""Split a dataset into train and test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.core.files import move_into_place, temporary_path
from adamas.data.index import cannot_write
from adamas.data.store import NEW, EpisodeStore
from adamas.data.view import View

COPIED = 64  # steps of an episode that are copied at a time


def split(
    store: EpisodeStore,
    out: Path,
    test: float,
    rng: np.random.Generator,
    cut: int | None = None,
    actions: bool = True,
) -> Iterator[tuple[str, EpisodeStore]]:
    """Copy a random share ``test`` of the episodes to ``out/test``, and all others to ``out/train``.

    Args:
        store: the dataset to split.
        out: the new folder.
        test: share of the episodes to hold out, in (0, 1); at least one is held out.
        rng: source of randomness.
        cut: longer episodes are first cut into pieces of this many steps. None: episodes stay whole.
        actions: whether to keep the actions. Without them, every action is that of
            :meth:`~adamas.core.actions.ActionSpec.nothing`.

    Yields:
        ``"train"`` and ``"test"``, each with its store.

    Raises:
        UserError: ``out`` exists, there are fewer than two episodes, ``store`` is damaged, or the disk is full.
    """
    if out.exists():
        raise UserError(f"{out} exists; choose another folder")
    pieces = list(_pieces(store.lengths, cut or store.num_rows))
    if len(pieces) < 2:
        raise UserError(
            f"{store.folder} has {len(pieces)} episode{'s' * (len(pieces) != 1)}, and a split needs two; cut it into "
            "shorter episodes (`cut` STEPS)"
        )
    order = rng.permutation(len(pieces))
    count = min(max(1, round(test * len(pieces))), len(pieces) - 1)
    # Without its actions, a dataset no longer fits the recorded game.
    spec, game = (store.action_spec, store.game) if actions else (ActionSpec.nothing(), None)
    staging = temporary_path(out)
    # One fixed name, unlike that of creating_folder: a split that was killed leaves a large copy, removed here.
    shutil.rmtree(staging, ignore_errors=True)
    try:
        for _ in store.verify():
            pass
        train, held = (
            EpisodeStore.create(staging / name, store.obs_shape, spec, game) for name in ("train", "test")
        )
        held_numbers = set(order[:count].tolist())
        for number, piece in enumerate(pieces):
            _copy(store.view, *piece, actions, held if number in held_numbers else train)
        train.commit()
        held.commit()
        move_into_place(staging, out)
    except OSError as error:
        raise cannot_write(out, error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    for name in ("train", "test"):
        yield name, EpisodeStore.open(out / name)


def _pieces(lengths: np.ndarray, step: int) -> Iterator[tuple[int, int, int]]:
    """Cut all episodes after every ``step`` steps: yield each piece's episode, first step, and the step after its last.

    The frame at a cut belongs to both pieces.
    """
    for episode, length in enumerate(lengths.tolist()):
        for first in range(0, length - 1, step):
            yield episode, first, min(first + step, length - 1)


def _copy(view: View, episode: int, first: int, end: int, actions: bool, store: EpisodeStore) -> None:
    """Append steps [first, end) of an episode to ``store``, as an episode that is truncated unless it has ended."""
    number = np.array([NEW])
    for start in range(first, end, COPIED):
        stop = min(start + COPIED, end)
        part = view.episode(episode, start, stop + 1)
        action = part.action if actions else np.zeros(len(part), np.int64)
        if stop == end:
            part.truncated[-1] |= not part.terminated[-1]
        for t in range(len(part)):
            step = slice(t, t + 1)
            number = store.append(
                number,
                part.obs[step],
                action[step],
                part.reward[step],
                part.terminated[step],
                part.truncated[step],
            )
    store.append_final(number, part.obs[-1:])
