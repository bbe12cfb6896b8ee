"""Episodes that players record, as datasets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from torch import Tensor

from adamas.agent import check_dataset_fits
from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.data.store import NEW, EpisodeStore
from adamas.play.worlds import World

KINDS = ("dream", "real")
MAX_EPISODE = 20_000  # steps; what comes later is the next episode
MAX_BYTES = 4 * 2**30  # that one server records


class Recordings:
    """Two datasets in one folder, ``dream/`` and ``real/``, that grow. They are made when they are needed.

    One process at a time may record into a folder. All calls come from one thread.
    """

    def __init__(self, folder: Path, obs_shape: tuple[int, int, int], action_spec: ActionSpec) -> None:
        self.folder = folder
        self._obs_shape, self._action_spec = obs_shape, action_spec
        self._stores: dict[str, EpisodeStore] = {}
        self._lock = FileLock(folder / "lock", timeout=0)
        self._left = MAX_BYTES

    def begin(self, kind: str) -> Recorder:
        """An episode, to be recorded step by step.

        Args:
            kind: of :data:`KINDS`.

        Raises:
            UserError: another process records there, the folder cannot be written, or what is in it are frames of
                another shape, or other actions.
        """
        if kind not in self._stores:
            self._stores[kind] = self._open(kind)
        return Recorder(self._stores[kind], self)

    def _open(self, kind: str) -> EpisodeStore:
        folder = self.folder / kind
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout:
            raise UserError(
                f"another process records into {self.folder}; give another folder with `recordings`"
            ) from None
        except OSError as error:
            raise UserError(
                f"cannot record into {self.folder}: {error.strerror}; give another folder with `recordings`"
            ) from error
        if not folder.exists():
            return EpisodeStore.create(folder, self._obs_shape, self._action_spec)
        store = EpisodeStore.open(folder)
        check_dataset_fits(store, self._obs_shape, "the agent", self._action_spec)
        return store

    def spend(self, num_bytes: int) -> None:
        """Count what is recorded. Raises UserError: it is more than a server may record."""
        if num_bytes > self._left:
            raise UserError(
                f"{MAX_BYTES / 2**30:.0f} GiB were recorded since the start, which is the limit; start again"
            )
        self._left -= num_bytes

    def close(self) -> None:
        """Let others record into the folder."""
        self._lock.release()


class Recorder:
    """One episode on its way into a dataset."""

    def __init__(self, store: EpisodeStore, recordings: Recordings) -> None:
        self._store = store
        self._recordings = recordings
        self._number = NEW
        self._last: dict[str, Any] | None = None  # the newest step; how the episode ends is part of it
        self.steps = 0

    def add(self, obs: Tensor, action: Tensor, reward: float, terminated: bool, truncated: bool) -> None:
        """The frame acted in, (C, H, W) uint8, the action, (``*spec.shape``), and what came of it.

        Raises:
            UserError: the disk is full, or the limit reached. What was recorded before stays.
        """
        self._recordings.spend(obs.numel())
        self._write()
        self._last = {
            "obs": obs.numpy()[None],
            "action": action.numpy()[None],
            "reward": np.array([reward], np.float32),
            "terminated": np.array([terminated]),
            "truncated": np.array([truncated]),
        }
        self.steps += 1

    def finish(self, obs: Tensor) -> int | None:
        """Close the episode with its last frame, and commit it. One that nothing ended is marked as truncated.

        Returns:
            its number in the dataset; None if it has no steps.
        """
        if self._last is None:
            return None
        self._last["truncated"] |= ~self._last["terminated"]
        self._write()
        self._store.append_final(np.array([self._number]), obs.numpy()[None])
        self._store.commit()
        return self._number

    def _write(self) -> None:
        if self._last is not None:
            self._number = int(self._store.append(np.array([self._number]), **self._last)[0])


class Tape:
    """What one player records: an episode of each world shown at a time.

    Attributes:
        on: whether anything is recorded.
    """

    def __init__(self, recordings: Recordings | None, tell: Callable[[dict[str, Any]], None]) -> None:
        """Record into ``recordings`` (None: nothing can be), and ``tell`` the player about it."""
        self._recordings = recordings
        self._tell = tell
        self._recorders: dict[str, Recorder] = {}
        self.on = False

    def switch(self, on: bool, worlds: Mapping[str, World]) -> None:
        """Begin or stop to record. Raises UserError: nothing can be recorded."""
        if on and self._recordings is None:
            raise UserError("nothing can be recorded here; start adamas play with `recordings`")
        self.stop(worlds)
        self.on = on
        self.start(worlds)

    def start(self, worlds: Mapping[str, World]) -> None:
        """Begin an episode of each of the worlds, if anything is recorded."""
        if self.on and self._recordings is not None:
            try:
                self._recorders = {name: self._recordings.begin(name) for name in worlds}
            except UserError as error:
                self._fail(error)

    def add(self, name: str, before: Tensor, action: Tensor, world: World) -> None:
        """One step of a world: the frame acted in, the action, and how it stands since."""
        recorder = self._recorders.get(name)
        if recorder is None:
            return
        try:
            terminated = world.over == "ended"
            recorder.add(before, action, world.reward, terminated, bool(world.over) and not terminated)
            if world.over or recorder.steps >= MAX_EPISODE:
                self._finish(name, world)
        except UserError as error:
            self._fail(error)

    def stop(self, worlds: Mapping[str, World]) -> None:
        """Close the episodes."""
        for name in list(self._recorders):
            self._finish(name, worlds[name])

    def _finish(self, name: str, world: World) -> None:
        recorder = self._recorders.pop(name)
        try:
            number = recorder.finish(world.obs)
        except UserError as error:
            self._fail(error)
            return
        if number is not None:
            dataset = f"played-{name}"
            self._tell({"type": "saved", "dataset": dataset, "episode": number, "steps": recorder.steps})

    def _fail(self, error: UserError) -> None:
        self._recorders.clear()
        self.on = False
        self._tell({"type": "notice", "text": f"no longer recording: {error}"})
