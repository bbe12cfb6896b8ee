"""What columns and arrays are called, and in which order files with numbers in their names come."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping

import numpy as np

from adamas.core.errors import UserError

ALIASES: Mapping[str, tuple[str, ...]] = {
    "obs": ("obs", "observations", "observation", "frames", "images"),
    "next_obs": ("next_obs", "next_observations", "next_observation"),
    "action": ("action", "actions"),
    "reward": ("reward", "rewards", "next_reward"),
    "terminated": ("terminated", "terminations", "termination", "terminal", "terminals"),
    "done": ("done", "dones", "next_done"),
    "truncated": ("truncated", "truncations", "truncation", "timeout", "timeouts"),
}
"""What arrays are called, by what they are."""
COLUMNS: Mapping[str, tuple[str, ...]] = {
    **{part: ALIASES[part] for part in ("reward", "terminated", "done", "truncated")},
    "time": ("time", "timestamp", "timestamps", "time_s", "time_sec", "time_seconds", "seconds"),
    "time_ms": ("time_ms", "timestamp_ms", "ms", "milliseconds"),
    "time_us": ("time_us", "timestamp_us", "us", "microseconds"),
    "time_ns": ("time_ns", "timestamp_ns", "ns", "nanoseconds"),
    "frame": (
        "frame",
        "frame_index",
        "frame_number",
        "frame_id",
        "index",
        "index_level_0",
        "unnamed_0",
        "step",
    ),
    "episode": ("episode", "episode_index", "episode_number", "episode_id"),
}
"""What the columns of tables are called that are no part of the action, by what they are."""


def folded(name: str) -> str:
    """A name without the blanks around it and without capitals."""
    return name.strip().lower()


def meaning(name: str, known: Mapping[str, tuple[str, ...]] = COLUMNS) -> str | None:
    """What a name stands for, whatever its capitals and whatever joins its words: ``Time (ms)`` is ``time_ms``."""
    words = re.sub(r"\W+", "_", folded(name)).strip("_")
    return next((part for part, aliases in known.items() if words in aliases), None)


def column(name: str) -> str:
    """What a column is called here: by its meaning, or else its own folded name. What is done is ``terminated``."""
    part = meaning(name)
    return (
        "terminated"
        if part == "done"
        else "time"
        if part and part.startswith("time_")
        else part or folded(name)
    )


def split_done(columns: MutableMapping[str, np.ndarray], where: str) -> None:
    """Replace ``done``, which says that an episode ended, by ``terminated`` and ``truncated``, which also say how.

    Args:
        columns: (rows,) each. Without ``truncated``, what is done is terminated.
        where: the table, for messages.

    Raises:
        UserError: the columns contradict each other.
    """
    if "done" not in columns:
        return
    done = columns.pop("done")
    if done.dtype.kind == "U" or not np.isin(done, (0, 1)).all():
        raise UserError(
            f"{where}: done must be 0 or 1 in every row; mend it, or leave it out with `ignore` done"
        )
    truncated = columns.get("truncated", np.zeros(len(done))) != 0
    if "terminated" not in columns:
        columns["terminated"] = np.where(truncated, 0.0, done)
        return
    terminated = columns["terminated"] != 0
    if "truncated" not in columns:
        columns["truncated"] = np.where(terminated, 0.0, done)
        truncated = columns["truncated"] != 0
    if (wrong := (terminated | truncated) != (done != 0)).any():
        raise UserError(
            f"{where}: done and terminated contradict each other, first at step {int(wrong.argmax())}; leave one of "
            "them out of the file"
        )


def natural(name: str) -> list[tuple[bool, int, str]]:
    """A key that sorts names as people do: ``demo_2`` before ``demo_10``."""
    return [
        (not part.isdecimal(), int(part) if part.isdecimal() else 0, part)
        for part in re.split(r"(\d+)", name)
        if part
    ]
