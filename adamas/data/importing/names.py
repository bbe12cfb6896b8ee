"""Known names of columns and arrays, and the natural order of file names with numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from functools import cache

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
"""Known names of arrays, by their meaning."""
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
"""Known names of the columns of tables that are not part of the action, by their meaning."""


def folded(name: str) -> str:
    """Return a name in lower case, without blanks around it."""
    return name.strip().lower()


def meaning(name: str, known: Mapping[str, tuple[str, ...]] = COLUMNS) -> str | None:
    """Return the meaning of a name, regardless of case and punctuation: ``Time (ms)`` means ``time_ms``."""
    words = re.sub(r"\W+", "_", folded(name)).strip("_")
    return next((part for part, aliases in known.items() if words in aliases), None)


@cache
def column(name: str) -> str:
    """Return the name of a column after import: its meaning or, if unknown, its name in lower case."""
    part = meaning(name)
    return (
        "terminated"
        if part == "done"
        else "time"
        if part and part.startswith("time_")
        else part or folded(name)
    )


def split_done(columns: MutableMapping[str, np.ndarray], where: str) -> None:
    """Replace the column ``done`` by ``terminated`` and ``truncated``, in place.

    Args:
        columns: (rows,) each. Without a column ``truncated``, an episode that is done is terminated.
        where: the table, for error messages.

    Raises:
        UserError: the columns contradict each other.
    """
    if "done" not in columns:
        return
    done = columns.pop("done")
    if done.dtype.kind == "U" or not np.isin(done, (0, 1)).all():
        raise UserError(
            f"{where}: done must be 0 or 1 in every row; correct it, or leave it out with `ignore` done"
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
            f"{where}: done and terminated contradict each other, first at step {int(wrong.argmax())}; remove one "
            "of them from the file"
        )


def natural(name: str) -> list[tuple[bool, int, str]]:
    """Return a sort key with which ``demo_2`` comes before ``demo_10``."""
    return [
        (not part.isdecimal(), int(part) if part.isdecimal() else 0, part)
        for part in re.split(r"(\d+)", name)
        if part
    ]
