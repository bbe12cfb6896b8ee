"""Small videos to try `adamas data import` on: a square that four keys steer, and a disc that bounces by itself.

    python examples/steered_square.py FOLDER [--videos 6] [--frames 500]

Writes FOLDER/0.mp4, FOLDER/0.csv, FOLDER/1.mp4, ...: 64x64 pixels, 15 frames a second. A table has a row for every
frame but the last, with the buttons left, right, up and down. Needs `pip install 'adamas[data]'`.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import av
import numpy as np

SIZE = 64  # pixels of a frame's side
SPEED = 3  # pixels that the square moves in a frame
KEYS = {"left": (0, -SPEED), "right": (0, SPEED), "up": (-SPEED, 0), "down": (SPEED, 0)}
ROWS, COLUMNS = np.indices((SIZE, SIZE))


def draw(square: np.ndarray, disc: np.ndarray) -> np.ndarray:
    """(64, 64, 3) uint8: both shapes, given the row and column of their centres, on a checked floor."""
    floor = np.where((ROWS // 16 + COLUMNS // 16) % 2, 60, 80)
    frame = np.stack([floor, floor, floor + 20], axis=-1).astype(np.uint8)
    frame[(ROWS - disc[0]) ** 2 + (COLUMNS - disc[1]) ** 2 <= 49] = (90, 220, 120)
    frame[(abs(ROWS - square[0]) <= 6) & (abs(COLUMNS - square[1]) <= 6)] = (250, 170, 40)
    return frame


def record(video: Path, num_frames: int, rng: np.random.Generator) -> None:
    """Write a video and its table. One random key, or none, is held for 3 to 9 frames at a time."""
    square, disc = rng.uniform(8, SIZE - 8, (2, 2))
    velocity = rng.choice([-2.0, 2.0], 2)
    held: list[str | None] = []
    with av.open(str(video), "w") as container, open(video.with_suffix(".csv"), "w", newline="") as file:
        stream = container.add_stream("libx264", rate=15, options={"crf": "10"})
        stream.width = stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        table = csv.writer(file)
        table.writerow(KEYS)
        for t in range(num_frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(draw(square, disc), format="rgb24")))
            if t == num_frames - 1:
                break
            held = held or [rng.choice([*KEYS, None])] * int(rng.integers(3, 10))
            key = held.pop()
            table.writerow([int(name == key) for name in KEYS])
            square = np.clip(square + KEYS.get(key or "", (0, 0)), 6, SIZE - 7)
            velocity = np.where((disc + velocity < 7) | (disc + velocity > SIZE - 8), -velocity, velocity)
            disc = disc + velocity
        container.mux(stream.encode())


def main() -> None:
    """Write the videos."""
    parser = argparse.ArgumentParser(description="Write small videos with their tables of actions.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--videos", type=int, default=6)
    parser.add_argument("--frames", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(options.seed)
    for number in range(options.videos):
        record(options.folder / f"{number}.mp4", options.frames, rng)


if __name__ == "__main__":
    main()
