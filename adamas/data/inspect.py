"""What is in a dataset, whether it is sound, and dealing it out."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.core.types import Episode
from adamas.data.store import NEW, EpisodeStore

SHEET_ROWS, SHEET_COLUMNS = 6, 8
SHEET_WIDTH = 160  # pixels of a frame on a contact sheet, about


def size(store: EpisodeStore) -> str:
    """A line for people: how much there is, and the room it takes."""
    _, height, width = store.obs_shape
    num_bytes = store.view.frames.nbytes
    ratio = store.num_rows * int(np.prod(store.obs_shape)) / max(1, num_bytes)
    packed = f", packed {ratio:.2f} times smaller" if store.packed else ""
    return (
        f"{store.folder}: {store.num_episodes:,} episodes, {store.num_transitions:,} steps, "
        f"frames {height}x{width}, {num_bytes / 2**20:,.1f} MiB{packed}"
    )


def summary(store: EpisodeStore) -> list[str]:
    """Lines for people: lengths, actions, rewards and ends, and how many frames are like the one before."""
    lengths = store.lengths
    if not len(lengths):
        return [f"{store.folder} is empty"]
    rewards: dict[float, int] = {}
    terminated = repeated = 0
    actions = []
    for episode in store:
        values, counts = np.unique(np.sign(episode.reward), return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            rewards[value] = rewards.get(value, 0) + count
        terminated += int(episode.terminated.sum())
        repeated += int((episode.obs[1:] == episode.obs[:-1]).all(axis=(1, 2, 3)).sum())
        actions.append(episode.action)
    signs = ", ".join(
        f"{rewards.get(sign, 0):,} {name}" for sign, name in ((1, "positive"), (-1, "negative"))
    )
    game = [] if store.game is None else [f"recorded from {store.game['suite']} {store.game['game']}"]
    return [
        size(store),
        *game,
        f"frames an episode: {lengths.min():,} to {lengths.max():,}, median {int(np.median(lengths)):,}",
        f"rewards: {signs}; ends: {terminated:,} true, {int(store.ended.sum()) - terminated:,} cut off",
        f"frames equal to the one before: {repeated / max(1, store.num_transitions):.1%}",
        *_uses(store.action_spec, np.concatenate(actions)),
    ]


def _uses(spec: ActionSpec | None, action: np.ndarray) -> list[str]:
    """How often each option and button is taken, and where each axis stands."""
    if not len(action):
        return []
    if spec is None:
        spec = ActionSpec.numbered(int(action.max()) + 1)
    entries = action.reshape(-1, spec.size).T
    lines = []
    for choice, column in zip(spec.choices, entries, strict=False):
        counts = np.bincount(column.astype(np.int64), minlength=len(choice.options)) / len(column)
        shares = ", ".join(f"{name} {share:.1%}" for name, share in zip(choice.options, counts, strict=True))
        lines.append(f"choice {choice.name}: {shares}")
    pressed = entries[len(spec.choices) :][: len(spec.buttons)]
    if spec.buttons:
        lines.append(
            "buttons: " + ", ".join(f"{n} {x.mean():.1%}" for n, x in zip(spec.buttons, pressed, strict=True))
        )
    for axis, column in zip(spec.axes, entries[len(spec.choices) + len(spec.buttons) :], strict=True):
        quantiles = " ".join(f"{q:.3g}" for q in np.quantile(column, (0, 0.05, 0.5, 0.95, 1)))
        lines.append(
            f"axis {axis.name} in [{axis.low:g}, {axis.high:g}]: quantiles 0 5 50 95 100 %: {quantiles}"
        )
    return lines


def contact_sheet(store: EpisodeStore) -> np.ndarray:
    """(H, W, 3) uint8: frames from all over the dataset, a row for each of some episodes."""
    _, height, width = store.obs_shape
    step = max(1, width // SHEET_WIDTH)
    chosen = np.unique(np.linspace(0, store.num_episodes - 1, SHEET_ROWS).astype(int))
    rows = []
    for number in chosen:
        obs = store.episode(int(number)).obs
        picked = obs[np.linspace(0, len(obs) - 1, SHEET_COLUMNS).astype(int)]  # (SHEET_COLUMNS, C, H, W)
        picked = np.broadcast_to(picked, (SHEET_COLUMNS, 3, height, width))[..., ::step, ::step]
        rows.append(np.concatenate(list(picked.transpose(0, 2, 3, 1)), axis=1))
    scale = max(1, SHEET_WIDTH // width)
    return np.concatenate(rows).repeat(scale, axis=0).repeat(scale, axis=1)


def check(store: EpisodeStore) -> None:
    """Look at every row.

    Raises:
        UserError: the first fault, by episode and step.
    """
    for number, (episode, ended) in enumerate(zip(store, store.ended, strict=True)):
        if not len(episode) and not ended:
            continue  # it has only begun
        where = f"{store.folder}, episode {number}"
        if problem := _problem(store.action_spec, episode):
            raise UserError(f"{where}{problem}; import or record it anew")


def _problem(spec: ActionSpec | None, episode: Episode) -> str:
    if not len(episode):
        return " has a single frame"
    if spec is not None and spec.problem(episode.action):
        t = next(t for t in range(len(episode)) if spec.problem(episode.action[t]))
        return f", step {t}: {spec.problem(episode.action[t])}"
    for wrong, what in (
        (~np.isfinite(episode.reward), "the reward is no finite number"),
        ((episode.terminated | episode.truncated)[:-1], "it ends there, and goes on"),
    ):
        if wrong.any():
            return f", step {int(wrong.argmax())}: {what}"
    return ""


def split(
    store: EpisodeStore,
    out: Path,
    test: float,
    rng: np.random.Generator,
    cut: int | None = None,
    actions: bool = True,
) -> Iterator[tuple[str, EpisodeStore]]:
    """Copy a share ``test`` of the episodes, drawn at random, to ``out/test`` and the others to ``out/train``.

    Args:
        store: where they are.
        out: a new folder.
        test: in (0, 1).
        rng: draws them.
        cut: steps of the pieces into which longer episodes are cut first. None: they stay whole.
        actions: False: leave them out (:meth:`~adamas.core.actions.ActionSpec.nothing`).

    Raises:
        UserError: ``out`` exists, there are fewer than two episodes, or the disk is full.
    """
    if out.exists():
        raise UserError(f"{out} exists; choose another --out")
    step = cut or store.num_rows
    order = rng.permutation(sum(len(range(0, length - 1, step)) for length in store.lengths.tolist()))
    if len(order) < 2:
        raise UserError(
            f"{store.folder} has {len(order)} episodes; two are needed, one to hold out (--cut makes several of one)"
        )
    count = min(max(1, round(test * len(order))), len(order) - 1)
    # Whoever learns without actions learns another game.
    spec, game = (store.action_spec, store.game) if actions else (ActionSpec.nothing(), None)
    staging = out.with_name(out.name + ".splitting")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        train, held = (
            EpisodeStore.create(staging / name, store.obs_shape, spec, game) for name in ("train", "test")
        )
        held_numbers = set(order[:count].tolist())
        for number, piece in enumerate(_pieces(store, step)):
            if not actions:
                piece = replace(piece, action=np.zeros(len(piece), np.int64))
            _copy(piece, held if number in held_numbers else train)
        train.commit()
        held.commit()
        staging.rename(out)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    for name in ("train", "test"):
        yield name, EpisodeStore.open(out / name)


def _pieces(store: EpisodeStore, step: int) -> Iterator[Episode]:
    """All episodes, cut after every ``step`` steps; the frame at a cut is the last of one and the first of the next."""
    for episode in store:
        for t in range(0, len(episode), step):
            part = slice(t, t + step)
            yield Episode(
                episode.obs[t : t + step + 1],
                episode.action[part],
                episode.reward[part],
                episode.terminated[part],
                episode.truncated[part],
            )


def _copy(episode: Episode, store: EpisodeStore) -> None:
    """Add an episode. One that was still going on is cut off where it stands."""
    number = np.array([NEW])
    episode.truncated[-1] |= not episode.terminated[-1]
    for t in range(len(episode)):
        number = store.append(
            number,
            episode.obs[t : t + 1],
            episode.action[t : t + 1],
            episode.reward[t : t + 1],
            episode.terminated[t : t + 1],
            episode.truncated[t : t + 1],
        )
    store.append_final(number, episode.obs[-1:])
