"""Recordings in every format, made of the same frames."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
from PIL import Image

from adamas.data import EpisodeStore
from adamas.data.importing.run import ImportOptions, import_recordings

HEIGHT, WIDTH = 16, 32


def frames(count: int, seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """(count, H, W, 3) uint8, all different."""
    return np.random.default_rng(seed).integers(256, size=(count, height, width, 3), dtype=np.uint8)


def greys(count: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """(count, H, W, 3) uint8: frame i is grey i all over."""
    return np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, height, width, 3))


def grey_of(store: EpisodeStore, episode: int = 0) -> list[int]:
    """Which frames of :func:`greys` an episode consists of."""
    return store.episode(episode).obs[:, 0, 0, 0].tolist()


def imported(path: Path, actions: Path | None = None, **options: Any) -> tuple[EpisodeStore, list[str]]:
    """What is imported, and the lines that the import says."""
    notes: list[str] = []
    out = path.parent / f"imported {path.name}"
    store = import_recordings(path, out, actions, ImportOptions(**options), note=notes.append)
    return store, notes


def write_video(path: Path, pictures: np.ndarray, rate: int = 10) -> Path:
    """A video without loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=rate, options={"crf": "0"})
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = "rgb24"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def write_csv(path: Path, **columns: Sequence[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def write_images(folder: Path, pictures: np.ndarray) -> Path:
    folder.mkdir(parents=True)
    for i, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"shot{i}.png")
    return folder


def shots(folder: Path, table: str, suffix: str = ".csv", count: int = 5) -> Path:
    """Images (:func:`greys`) and a table in one folder."""
    write_images(folder / "shots", greys(count))
    (folder / "shots" / f"actions{suffix}").write_text(table, encoding="utf-8")
    return folder / "shots"


def write_csgo(path: Path, pictures: np.ndarray, actions: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        for i, (picture, action) in enumerate(zip(pictures, actions, strict=True)):
            file[f"frame_{i}_x"], file[f"frame_{i}_y"] = picture[..., ::-1], action
    return path


def imported_store(path: Path, actions: Path | None = None, **options: object) -> EpisodeStore:
    out = path.parent / f"imported {path.name}"
    return import_recordings(path, out, actions, ImportOptions(**options))  # type: ignore[arg-type]


def pixels(store: EpisodeStore, episode: int = 0) -> np.ndarray:
    """(T + 1, H, W, 3)."""
    return store.episode(episode).obs.transpose(0, 2, 3, 1)
