"""Read access to datasets for the page. Datasets are requested by name, never by path."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.data import EpisodeStore
from adamas.data.locations import Place, is_url
from adamas.media.films import FASTEST, film_bytes
from adamas.play.controls import Moves

MAX_EPISODES = 200  # in one answer
MAX_FRAMES = 128  # in one answer
MAX_FILM = 3600  # frames

ABOUT = {
    "train": "episodes that the world model was trained on",
    "test": "held-out episodes, which the world model was not trained on",
    "dataset": "episodes that dreams start from",
    "played-dream": "recorded here, in the dream",
    "played-real": "recorded here, in the real game",
}


class NotFound(Exception):
    """A dataset or an episode does not exist."""


class DatasetApi:
    """Answers questions about datasets, also while they grow. Every method may be called from any thread."""

    def __init__(self, places: Mapping[str, Place], fps: float) -> None:
        """Offer the datasets in ``places``, by name; films play at ``fps``. Missing datasets appear once they exist."""
        self._places = places
        self._fps = fps
        self._open: dict[str, tuple[int, EpisodeStore]] = {}
        self._lock = threading.Lock()
        self._one_film = threading.Lock()  # films are encoded one at a time, because each occupies a core

    def datasets(self) -> dict[str, Any]:
        """List the datasets with their numbers of episodes and steps."""
        found = []
        for name in self._places:
            try:
                store = self._store(name)
            except NotFound:
                continue
            episodes, steps = store.num_episodes, store.num_transitions
            found.append({"name": name, "episodes": episodes, "steps": steps, "about": ABOUT[name]})
        return {"datasets": found}

    def episodes(self, name: str, start: int, count: int) -> dict[str, Any]:
        """List ``count`` episodes of a dataset from number ``start`` on."""
        store = self._store(name)
        total = store.num_episodes
        lengths, returns, ended = store.lengths, store.returns, store.ended
        episodes = [
            {"index": i, "frames": int(lengths[i]), "return": float(returns[i]), "ended": bool(ended[i])}
            for i in range(start, min(total, start + min(count, MAX_EPISODES)))
        ]
        return {"name": name, "total": total, "episodes": episodes}

    def episode(self, name: str, index: int) -> dict[str, Any]:
        """Describe one episode: its length, frame size, actions, rewards and end."""
        store = self._store(name)
        length = self._length(store, index)
        steps = store.read(np.array([index]), np.array([0]), length)
        return {
            "frames": length,
            "height": store.obs_shape[1],
            "width": store.obs_shape[2],
            "fps": self._fps,
            "actions": _action_labels(store.action_spec, steps.action[0]),
            "rewards": steps.reward[0].tolist(),
            "terminated": bool(steps.terminated[0].any()),
            "truncated": bool(steps.truncated[0].any()),
        }

    def frames(self, name: str, index: int, start: int, count: int) -> bytes:
        """Some frames of an episode, as the bytes of a (T, H, W, 3) uint8 array."""
        obs = self._frames(name, index, start, min(count, MAX_FRAMES))
        colour = obs.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()
        return np.ascontiguousarray(colour).tobytes()

    def film(self, name: str, index: int, ending: str) -> bytes:
        """An episode as a film, ``.mp4`` or ``.gif``, of at most :data:`MAX_FILM` frames.

        Raises:
            NotFound: there is no such episode.
            UserError: PyAV is not installed.
        """
        frames = self._frames(name, index, 0, MAX_FILM)
        with self._one_film:
            return film_bytes(frames, min(self._fps, FASTEST[ending]), ending)

    def _frames(self, name: str, index: int, start: int, count: int) -> Tensor:
        """Frames, (T, C, H, W) uint8; fewer than ``count`` at the end of an episode."""
        store = self._store(name)
        count = max(0, min(count, self._length(store, index) - start))
        if not count:
            return torch.zeros(0, *store.obs_shape, dtype=torch.uint8)
        return store.read(np.array([index]), np.array([start]), count).obs[0]

    def _length(self, store: EpisodeStore, index: int) -> int:
        if not 0 <= index < store.num_episodes:
            raise NotFound(f"there is no episode {index}; there are {store.num_episodes}")
        return int(store.lengths[index])

    def _store(self, name: str) -> EpisodeStore:
        """The dataset as of its last commit."""
        place = self._places.get(name)
        try:
            if place is None:
                raise FileNotFoundError
            # A dataset at a URL is a packed one, which does not grow.
            committed = 0 if is_url(place) else (Path(place) / "index.json").stat().st_mtime_ns
        except OSError:
            raise NotFound(f"there is no dataset {name!r}") from None
        with self._lock:
            known = self._open.get(name)
            if known is None or known[0] != committed:
                try:
                    known = committed, EpisodeStore.open(place)
                except UserError as error:
                    raise NotFound(str(error)) from error
                self._open[name] = known
            return known[1]


def _action_labels(spec: ActionSpec | None, action: Tensor) -> list[int | str]:
    """Labels for actions, (T, ``*spec.shape``): the numbers of moves, or descriptions in words."""
    if spec is None or spec.is_discrete:
        numbers: list[int | str] = action.tolist()
        return numbers
    moves = Moves(spec)
    return [moves.number(one) for one in action]
