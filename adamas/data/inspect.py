"""What is in a dataset, whether it is sound, and dealing it out."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from adamas.core.actions import ActionSpec
from adamas.core.console import counted
from adamas.core.errors import UserError
from adamas.core.files import sync, temporary_path
from adamas.core.types import Episode
from adamas.data.index import cannot_write
from adamas.data.store import NEW, EpisodeStore

SHEET_ROWS, SHEET_COLUMNS = 6, 8
SHEET_WIDTH = 160  # pixels of a frame on a contact sheet, about
FLAGS = ("terminated", "truncated", "final")  # bytes of a row that are 0 or 1
MOST_OPTIONS = 18  # that are listed of an unknown choice; Atari has 18


def size(store: EpisodeStore) -> str:
    """A line for people: how much there is, and the room it takes."""
    _, height, width = store.obs_shape
    num_bytes = store.view.frames.nbytes
    ratio = store.num_rows * int(np.prod(store.obs_shape)) / max(1, num_bytes)
    packed = f", packed {ratio:.2f} times smaller" if store.packed else ""
    return (
        f"{store.folder}: {counted(store.num_episodes, 'episode')}, {counted(store.num_transitions, 'step')}, "
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
    if spec is None:  # nobody knows the options: those that occur most
        values, times = np.unique(action, return_counts=True)
        most = np.sort(np.argsort(-times, kind="stable")[:MOST_OPTIONS])
        shares = ", ".join(f"{values[i]} {times[i] / len(action):.1%}" for i in most)
        return [f"choice action: {shares}"]
    outside = spec.outside(action).any(axis=1)
    lines = []
    if outside.any():
        lines.append(
            f"actions that are none of these: {outside.sum():,} of {len(action):,}, not counted (adamas data validate)"
        )
    if outside.all():
        return lines
    entries = action[~outside].reshape(-1, spec.size).T
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
    """(H, W, 3) uint8: frames from all over the dataset, a row for each of some episodes.

    Raises:
        UserError: there are none, or they are no pictures.
    """
    channels, height, width = store.obs_shape
    if channels not in (1, 3) or not store.num_episodes:
        raise UserError(
            f"{store.folder} has {counted(store.num_episodes, 'episode')}, frames of {channels} channels; "
            "a sheet needs an episode with frames of 1 or 3 channels; leave out `sheet`"
        )
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
    """Look at every row, and at every frame if the store has checksums.

    Raises:
        UserError: the first fault, by episode and step, or by the rows that have changed.
    """
    for _ in store.verify():
        pass
    view = store.view
    for number, (first, length) in enumerate(zip(view.first, view.lengths, strict=True)):
        rows = view.rows[view.order[first : first + length]]
        if problem := _problem(store.action_spec, rows):
            raise UserError(f"{store.folder}, episode {number}{problem}; import or record it anew")


def _problem(spec: ActionSpec | None, rows: np.ndarray) -> str:
    """What is wrong with an episode, given its rows, of :func:`~adamas.data.view.row_dtype`."""
    for name in FLAGS:
        wrong = rows[name].view(np.uint8) > 1
        if wrong.any():
            return (
                f", step {int(wrong.argmax())}: {name} is {rows[name].view(np.uint8)[wrong][0]}, not 0 or 1"
            )
    if rows["final"][:-1].any():
        return f", step {int(rows['final'].argmax())}: marked as the last frame, and the episode goes on"
    ended, step = bool(rows["final"][-1]), rows[:-1]
    if not len(step):
        return " has a single frame" if ended else ""  # it has only begun
    if spec is not None and spec.problem(step["action"]):
        t = int(spec.outside(step["action"]).any(axis=1).argmax())
        return f", step {t}: {spec.problem(step['action'][t])}"
    ends = step["terminated"] | step["truncated"]
    if ended and not ends[-1]:
        return f", step {len(step) - 1}: the last one, but marked neither as an end nor as cut off"
    for wrong, what in (
        (~np.isfinite(step["reward"]), "the reward is no finite number"),
        (ends[: -1 if ended else None], "it ends there, and goes on"),
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
        UserError: ``out`` exists, there are fewer than two episodes, ``store`` is damaged, or the disk is full.
    """
    if out.exists():
        raise UserError(f"{out} exists; choose another folder")
    step = cut or store.num_rows
    order = rng.permutation(sum(len(range(0, length - 1, step)) for length in store.lengths.tolist()))
    if len(order) < 2:
        raise UserError(
            f"{store.folder} has {counted(len(order), 'episode')}; two are needed, one to hold out "
            "(`cut` makes several of one)"
        )
    count = min(max(1, round(test * len(order))), len(order) - 1)
    # Whoever learns without actions learns another game.
    spec, game = (store.action_spec, store.game) if actions else (ActionSpec.nothing(), None)
    staging = temporary_path(out)
    shutil.rmtree(staging, ignore_errors=True)  # of one that was killed
    try:
        for _ in store.verify():
            pass
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
        sync(out.parent)
    except OSError as error:
        raise cannot_write(out, error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
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
