"""Recordings of a few episodes, and a run on them that takes seconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from adamas.core.actions import ActionSpec, Axis
from adamas.core.config import to_dict
from adamas.data import NEW, EpisodeStore
from adamas.envs import EnvConfig
from adamas.presets import preset
from adamas.training.config import Config
from adamas.training.source import on_recordings

SPEC = ActionSpec(buttons=("jump",), axes=(Axis("steer", -2.0, 2.0),))


def record(
    folder: Path,
    episodes: int,
    seed: int,
    spec: ActionSpec | None = SPEC,
    labels: bool = True,
    game: EnvConfig | None = None,
) -> None:
    """Episodes of 12 frames, 12 x 20 pixels; without labels, nothing is rewarded and nothing ends by itself."""
    rng = np.random.default_rng(seed)
    store = EpisodeStore.create(folder, (3, 12, 20), spec, None if game is None else to_dict(game))
    for _ in range(episodes):
        number = np.array([NEW])
        for t in range(11):
            action = np.array([[rng.integers(2), rng.uniform(-2, 2)]]) if spec is SPEC else np.array([0])
            frame = rng.integers(256, size=(1, 3, 12, 20), dtype=np.uint8)
            last = np.array([t == 10])
            reward = np.array([labels * (t % 3 - 1)])
            number = store.append(number, frame, action, reward, last & labels, last & (not labels))
        store.append_final(number, frame)
    store.commit()


def config(recordings: Path) -> Config:
    return replace(on_recordings(preset("debug"), str(recordings)), final_epochs=2, tensorboard=False)
