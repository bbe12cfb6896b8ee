"""Recording of what players play, as datasets of episodes."""

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
from adamas.play.server_messages import Note, Notice, Saved
from adamas.play.worlds import World

KINDS = ("dream", "real")
MAX_EPISODE = 20_000  # steps of one recorded episode; recording then continues with a new one
MAX_BYTES = 4 * 2**30  # of frames that one server may record


class Recordings:
    """Two growing datasets in one folder, ``dream/`` and ``real/``, which are created on first use.

    Only one process at a time may record into a folder. All calls must come from one thread.
    """

    def __init__(self, folder: Path, obs_shape: tuple[int, int, int], action_spec: ActionSpec) -> None:
        self.folder = folder
        self._obs_shape, self._action_spec = obs_shape, action_spec
        self._stores: dict[str, EpisodeStore] = {}
        self._lock = FileLock(folder / "lock", timeout=0)
        self._left = MAX_BYTES

    def begin(self, kind: str) -> EpisodeRecorder:
        """Start to record an episode.

        Args:
            kind: one of :data:`KINDS`.

        Raises:
            UserError: another process records into the folder, the folder is not writable, or it holds frames of
                another shape or other actions.
        """
        if kind not in self._stores:
            self._stores[kind] = self._open(kind)
        return EpisodeRecorder(self._stores[kind], self)

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

    def count_bytes(self, num_bytes: int) -> None:
        """Count recorded bytes. Raises UserError above :data:`MAX_BYTES`."""
        if num_bytes > self._left:
            raise UserError(
                f"the limit of {MAX_BYTES / 2**30:.0f} GiB of recordings is reached; restart adamas play to record more"
            )
        self._left -= num_bytes

    def close(self) -> None:
        """Release the folder for other processes."""
        self._lock.release()


class EpisodeRecorder:
    """Writes one episode into a dataset."""

    def __init__(self, store: EpisodeStore, recordings: Recordings) -> None:
        self._store = store
        self._recordings = recordings
        self._number = NEW
        self._last: dict[str, Any] | None = (
            None  # the newest step, not written yet, as it stores the episode's end
        )
        self.steps = 0

    def add(self, obs: Tensor, action: Tensor, reward: float, terminated: bool, truncated: bool) -> None:
        """Add a step: the frame (C, H, W) uint8 before it, the action (``*spec.shape``), and the outcome.

        Raises:
            UserError: the disk is full, or the limit is reached. Earlier steps are kept.
        """
        self._recordings.count_bytes(obs.numel())
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
        """Add the last frame and commit the episode. An episode that was cut short is marked as truncated.

        Returns:
            The number of the episode in the dataset; None if it has no steps.
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


class PlayerRecorder:
    """Records what one player plays: one episode at a time in each world that is shown.

    Attributes:
        on: whether recording is on.
    """

    def __init__(self, recordings: Recordings, notify: Callable[[Note], None]) -> None:
        """Record into ``recordings``. ``notify`` sends messages to the player."""
        self._recordings = recordings
        self._notify = notify
        self._recorders: dict[str, EpisodeRecorder] = {}
        self.on = False

    def switch(self, on: bool, worlds: Mapping[str, World]) -> None:
        """Start or stop recording."""
        self.stop(worlds)
        self.on = on
        self.start(worlds)

    def start(self, worlds: Mapping[str, World]) -> None:
        """If recording is on, start an episode for each of the worlds."""
        for name in worlds:
            self._begin(name)

    def add(self, name: str, before: Tensor, action: Tensor, world: World) -> None:
        """Add a step of a world: the frame before it, the action, and the world after it."""
        recorder = self._recorders.get(name)
        if recorder is None:
            return
        if not self.on:  # the recording of the other world has failed
            self._finish(name, before)
            return
        terminated = world.over == "ended"
        try:
            recorder.add(before, action, world.reward, terminated, bool(world.over) and not terminated)
        except UserError as error:
            self._finish(name, before)  # keep the earlier steps
            self._fail(error)
            return
        if world.over or recorder.steps >= MAX_EPISODE:
            self._finish(name, world.obs)
            if not world.over:
                self._begin(name)

    def stop(self, worlds: Mapping[str, World]) -> None:
        """Finish all episodes that are being recorded."""
        for name in list(self._recorders):
            self._finish(name, worlds[name].obs)

    def _begin(self, name: str) -> None:
        """If recording is on, start an episode of a world."""
        if self.on:
            try:
                self._recorders[name] = self._recordings.begin(name)
            except UserError as error:
                self._fail(error)

    def _finish(self, name: str, obs: Tensor) -> None:
        recorder = self._recorders.pop(name)
        try:
            number = recorder.finish(obs)
        except UserError as error:
            self._fail(error)
            return
        if number is not None:
            dataset = f"played-{name}"
            self._notify(Saved(dataset=dataset, episode=number, steps=recorder.steps))

    def _fail(self, error: UserError) -> None:
        """Switch recording off, and say why once, although the recordings of both worlds may fail."""
        if self.on:
            self.on = False
            self._notify(Notice(text=f"no longer recording: {error}"))
