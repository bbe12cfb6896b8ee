"""The folder of a run: its lock, its first files, and the link to the recordings that the run learns from."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from filelock import FileLock, Timeout

from adamas.core.actions import ActionSpec
from adamas.core.config import save_config, to_dict
from adamas.core.errors import UserError
from adamas.data.index import follow_link, is_link, link_recordings
from adamas.data.store import EpisodeStore
from adamas.training.config import Config

LOCK = "lock"  # the file whose lock a training process holds
BEFORE_WORK = {
    ".": {
        LOCK,
        "config.yaml",
        "dataset",
        "metrics",
        "checkpoints",
        "small-*.bin",
        "small-*.bin.part",
        ".shared-*",
        ".tmp-*",
    },
    "dataset": {"train", "test"},
    "dataset/train": {"frames.bin", "rows.bin", "index.json", "index.json.tmp", ".tmp-index.json"},
    "dataset/test": {"frames.bin", "rows.bin", "index.json", "index.json.tmp", ".tmp-index.json"},
    "metrics": {"metrics.jsonl", "timing.jsonl", "tensorboard", "wandb", "wandb-id.txt", ".tmp-*"},
}
"""Name patterns of all files that can be in a run's folder before its first checkpoint."""


def never_began(run_dir: Path) -> bool:
    """Whether ``run_dir`` belongs to a run that ended before its first checkpoint, and so before any training.

    Such a folder is overwritten, so the answer is False if it holds a file that such a run does not create.
    """
    for name, known in BEFORE_WORK.items():
        folder = run_dir / name
        if name.startswith("dataset") and (run_dir / "dataset").is_symlink():
            continue
        if folder.is_dir() and not all(any(map(path.match, known)) for path in folder.iterdir()):
            return False
    log = run_dir / "metrics" / "metrics.jsonl"  # nothing is written to it before the first checkpoint
    frames = run_dir / "dataset" / "train" / "frames.bin"
    recorded = (run_dir / "dataset").is_symlink()  # recordings were there before the run
    return (
        (run_dir / "config.yaml").is_file()
        and not any((run_dir / "checkpoints").glob("step-*[0-9]"))
        and (not log.exists() or log.stat().st_size == 0)
        and (recorded or not frames.exists() or frames.stat().st_size == 0)
    )


def claim(run_dir: Path) -> FileLock:
    """Create and lock the run's folder. No other process can train in it until this process ends or crashes.

    Raises:
        UserError: another process trains there, or the folder cannot be created.
    """
    lock = FileLock(run_dir / LOCK)
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        raise UserError(
            f"another process trains in {run_dir}; wait for it or choose another `run_dir`"
        ) from None
    except OSError as error:
        raise UserError(f"cannot make {run_dir}: {error.strerror}; choose another `run_dir`") from error
    return lock


def check_free(run_dir: Path) -> None:
    """Raise UserError if a new run cannot begin in this folder."""
    holds_something = run_dir.is_dir() and any(path.name != LOCK for path in run_dir.iterdir())
    if run_dir.is_file() or (holds_something and not never_began(run_dir)):
        raise UserError(
            f"{run_dir} exists and is not empty; resume the run in it, or choose another `run_dir`"
        )


def claim_free(run_dir: Path) -> FileLock:
    """Claim the folder of a new run. Raise UserError if another process has begun a run there meanwhile."""
    lock = claim(run_dir)
    try:
        check_free(run_dir)
    except UserError:
        lock.release()
        raise
    return lock


def begin(config: Config, run_dir: Path, obs_shape: tuple[int, int, int], action_spec: ActionSpec) -> None:
    """Write the configuration of a new run, and create its empty train and test datasets or link to recordings."""
    dataset = run_dir / "dataset"
    for leftover in (dataset, run_dir / "metrics"):  # from a run that never began
        _remove(leftover)
    save_config(run_dir / "config.yaml", config)
    if config.data is not None:
        link_recordings(dataset, config.data)
        return
    for name in ("train", "test"):
        game = None if config.env is None else to_dict(config.env)
        EpisodeStore.create(dataset / name, obs_shape, action_spec, game)


def relink(run_dir: Path, place: str) -> None:
    """Link the folder of an existing run to its recordings in ``place``, unless it already is.

    Raises:
        UserError: the folder holds recordings itself.
    """
    dataset, fresh = run_dir / "dataset", run_dir / "dataset.new"
    if str(dataset.absolute()) == place or _linked(dataset) == place:
        return
    if has_own_recordings(run_dir):
        raise UserError(f"{dataset} holds recordings itself; move them away first, or leave out `data`")
    _remove(fresh)  # left by a process that was killed here
    link_recordings(fresh, place)
    _remove(dataset)
    fresh.rename(
        dataset
    )  # without a sync: a link that is lost in a power cut is made again by the same command


def has_own_recordings(run_dir: Path) -> bool:
    """Whether a run's folder holds recordings itself, because a person replaced the link by a copy."""
    dataset = run_dir / "dataset"
    return dataset.is_dir() and not dataset.is_symlink() and not is_link(dataset / "train")


def _linked(dataset: Path) -> str | None:
    """The target of the link to a run's recordings; None if there is no link."""
    if dataset.is_symlink():
        return os.readlink(dataset)
    if dataset.is_dir() and is_link(dataset / "train"):
        return str(follow_link(dataset / "train")).removesuffix("/train")
    return None


def _remove(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
