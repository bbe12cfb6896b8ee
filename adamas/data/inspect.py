"""Summarise a dataset, draw frames of it, and check it."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np

from adamas.core.actions import ActionSpec
from adamas.core.console import counted
from adamas.core.errors import UserError
from adamas.data.store import EpisodeStore

SHEET_ROWS, SHEET_COLUMNS = 6, 8
SHEET_WIDTH = 160  # approximate width in pixels of a frame on a contact sheet
FLAGS = ("terminated", "truncated", "final")  # fields of a row that must be 0 or 1
MOST_OPTIONS = 18  # most options listed for actions without a description; Atari has 18
SMALL, MEDIUM = 48 * 48, 96 * 96
"""Most pixels of a frame for which the presets static-small and static are meant."""
COMPARED = 64  # steps of an episode whose frames are compared at a time
PIECES = 10  # number of pieces into which a single recording is cut


def size_line(store: EpisodeStore) -> str:
    """Return a line with the number of episodes and steps, the size of a frame, and the bytes on disk."""
    _, height, width = store.obs_shape
    num_bytes = store.view.frames.nbytes
    ratio = store.num_rows * int(np.prod(store.obs_shape)) / max(1, num_bytes)
    packed = f", packed {ratio:.2f} times smaller" if store.packed else ""
    return (
        f"{store.folder}: {counted(store.num_episodes, 'episode')}, {counted(store.num_transitions, 'step')}, "
        f"frames {height}x{width}, {num_bytes / 2**20:,.1f} MiB{packed}"
    )


def summary(store: EpisodeStore) -> list[str]:
    """Return lines about the lengths of episodes, rewards, ends, repeated frames, and the share of each action."""
    lengths = store.lengths
    if not len(lengths):
        return [f"{store.folder} is empty"]
    rewards: dict[float, int] = {}
    terminated = repeated = 0
    actions = []
    places = [(number, t) for number, n in enumerate(lengths.tolist()) for t in range(0, n, COMPARED)]
    for number, t in places:
        part = store.view.episode(number, t, t + COMPARED + 1)
        values, counts = np.unique(np.sign(part.reward), return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            rewards[value] = rewards.get(value, 0) + count
        terminated += int(part.terminated.sum())
        repeated += int((part.obs[1:] == part.obs[:-1]).all(axis=(1, 2, 3)).sum())
        actions.append(part.action)
    signs = ", ".join(
        f"{rewards.get(sign, 0):,} {name}" for sign, name in ((1, "positive"), (-1, "negative"))
    )
    game = [] if store.game is None else [f"recorded from {store.game['suite']} {store.game['game']}"]
    return [
        size_line(store),
        *game,
        f"frames an episode: {lengths.min():,} to {lengths.max():,}, median {int(np.median(lengths)):,}",
        f"rewards: {signs}; ends: {terminated:,} true, {int(store.ended.sum()) - terminated:,} cut off",
        f"frames equal to the one before: {repeated / max(1, store.num_transitions):.1%}",
        *_uses(store.action_spec, np.concatenate(actions)),
    ]


def _uses(spec: ActionSpec | None, action: np.ndarray) -> list[str]:
    """Return lines with the share of each option and button, and the quantiles of each axis."""
    if not len(action):
        return []
    if spec is None:  # the options are unknown, so list the most frequent ones
        values, times = np.unique(action, return_counts=True)
        most = np.sort(np.argsort(-times, kind="stable")[:MOST_OPTIONS])
        shares = ", ".join(f"{values[i]} {times[i] / len(action):.1%}" for i in most)
        return [f"choice action: {shares}"]
    outside = spec.outside(action).any(axis=1)
    lines = []
    if outside.any():
        lines.append(
            f"invalid actions, not counted below: {outside.sum():,} of {len(action):,} (see: adamas data validate)"
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


def first_training(store: EpisodeStore) -> list[str]:
    """Return lines that say how to train a first model on an imported dataset and film its dreams."""
    _, height, width = store.obs_shape
    if height * width > MEDIUM:
        small = (max(4, 4 * round(8 * side / max(height, width))) for side in (height, width))
        return [
            f"frames of {height}x{width} take long to learn; for a first model in minutes, import the recordings again",
            f"with --size {' '.join(map(str, small))} and another --out",
        ]
    preset = "static-small" if height * width <= SMALL else "static"
    cut = "" if store.num_episodes > 1 else f" --cut {max(1, store.num_transitions // PIECES)}"
    place, split_place = shlex.quote(f"{store.folder}"), shlex.quote(f"{store.folder}-split")
    run = shlex.quote(f"runs/{preset}/{Path(store.folder).name}-split-seed-0")
    return [
        "next, hold out some episodes, train a first model, and film its dreams beside what was recorded:",
        f"  adamas data split {place} --out {split_place}{cut}",
        f"  adamas train {preset} --data {split_place}",
        f"  adamas dream {run} --out dream.mp4 --beside-real",
    ]


def contact_sheet(store: EpisodeStore) -> np.ndarray:
    """Return an image, (H, W, 3) uint8, of frames from the whole dataset, with a row for each of some episodes.

    Raises:
        UserError: there is no episode, or frames have neither 1 nor 3 channels.
    """
    channels, height, width = store.obs_shape
    if channels not in (1, 3) or not store.num_episodes:
        raise UserError(
            f"{store.folder} has {counted(store.num_episodes, 'episode')}, frames of {channels} channels; "
            "a sheet needs an episode with frames of 1 or 3 channels; leave out `sheet`"
        )
    step = max(1, width // SHEET_WIDTH)
    chosen = np.unique(np.linspace(0, store.num_episodes - 1, SHEET_ROWS).astype(int))
    view, rows = store.view, []
    for number in chosen:
        times = np.linspace(0, view.lengths[number] - 1, SHEET_COLUMNS).astype(int)
        picked = view.frames[view.order[view.first[number] + times]]  # (SHEET_COLUMNS, C, H, W)
        picked = np.broadcast_to(picked, (SHEET_COLUMNS, 3, height, width))[..., ::step, ::step]
        rows.append(np.concatenate(list(picked.transpose(0, 2, 3, 1)), axis=1))
    scale = max(1, SHEET_WIDTH // width)
    return np.concatenate(rows).repeat(scale, axis=0).repeat(scale, axis=1)


def check(store: EpisodeStore) -> None:
    """Check every row, and every frame if the store has checksums.

    Raises:
        UserError: the first fault, with its episode and step or, if a checksum does not match, its rows.
    """
    for _ in store.verify():
        pass
    view = store.view
    for number, (first, length) in enumerate(zip(view.first, view.lengths, strict=True)):
        rows = view.rows[view.order[first : first + length]]
        if problem := _problem(store.action_spec, rows):
            raise UserError(f"{store.folder}, episode {number}{problem}; import or record it again")


def _problem(spec: ActionSpec | None, rows: np.ndarray) -> str:
    """Describe the first fault of an episode, given its rows of :func:`~adamas.data.view.row_dtype`; "" if none."""
    for name in FLAGS:
        wrong = rows[name].view(np.uint8) > 1
        if wrong.any():
            return (
                f", step {int(wrong.argmax())}: {name} is {rows[name].view(np.uint8)[wrong][0]}, not 0 or 1"
            )
    if rows["final"][:-1].any():
        return f", step {int(rows['final'].argmax())}: marked as the last frame, but the episode continues"
    ended, step = bool(rows["final"][-1]), rows[:-1]
    if not len(step):
        return " has a single frame" if ended else ""  # a running episode may have just begun
    if spec is not None and spec.problem(step["action"]):
        t = int(spec.outside(step["action"]).any(axis=1).argmax())
        return f", step {t}: {spec.problem(step['action'][t])}"
    ends = step["terminated"] | step["truncated"]
    if ended and not ends[-1]:
        return f", step {len(step) - 1}: the last step, but neither terminated nor truncated"
    for wrong, what in (
        (~np.isfinite(step["reward"]), "the reward is not a finite number"),
        (ends[: -1 if ended else None], "marked as an end, but the episode continues"),
    ):
        if wrong.any():
            return f", step {int(wrong.argmax())}: {what}"
    return ""
