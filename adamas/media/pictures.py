"""Pictures of games and dreams: GIFs, and strips of frames.

Frames are (T, C, H, W) uint8 with C = 1 or 3, as everywhere. They are enlarged by whole factors and keep
their exact colours, so that what one sees is what the agent sees.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from adamas.core.files import replacing

MIN_HEIGHT = 160  # pixels of an enlarged frame
SLOW_FPS = 5  # for comparing frame by frame
GAP = 2  # pixels between frames
LINE_GAP = 12  # pixels between the lines of a strip
FRAMES_PER_LINE = 20  # of a strip, as wide as a page shows well
BACKGROUND, INK, ENDED_GREY = 240, 20, 128  # levels of grey
FONT_SIZE = 13
LABEL_HEIGHT = 20


def hold_last(frames: Tensor, num_frames: int) -> Tensor:
    """Cut or extend a sequence to (num_frames, ...); an extension repeats the last entry."""
    return frames[torch.arange(num_frames).clamp(max=len(frames) - 1)]


def fitting_scale(height: int) -> int:
    """The least whole factor that makes frames of ``height`` pixels at least ``MIN_HEIGHT`` high."""
    return max(1, -(-MIN_HEIGHT // height))


def enlarge(frames: Tensor, scale: int) -> Tensor:
    """(T, C, H, W) uint8, grey or colour, to (T, 3, scale * H, scale * W): every pixel becomes a square."""
    if frames.dtype != torch.uint8 or frames.ndim != 4 or frames.shape[1] not in (1, 3):
        raise ValueError(f"frames must be (T, 1 or 3, H, W) uint8, got {tuple(frames.shape)} {frames.dtype}")
    colour = frames.expand(-1, 3, -1, -1)
    return colour.repeat_interleave(scale, dim=2).repeat_interleave(scale, dim=3)


def side_by_side(left: Tensor, right: Tensor, scale: int, labels: tuple[str, str]) -> Tensor:
    """Two films of equal shape, (T, C, H, W), enlarged and labelled, as one: (T, 3, H', W')."""
    if left.shape != right.shape:
        raise ValueError(f"films differ in shape: {tuple(left.shape)} and {tuple(right.shape)}")
    left, right = enlarge(left, scale), enlarge(right, scale)
    num_frames, _, height, width = left.shape
    film = torch.full((num_frames, 3, LABEL_HEIGHT + height, 2 * width + GAP), BACKGROUND, dtype=torch.uint8)
    for x, frames, label in ((0, left, labels[0]), (width + GAP, right, labels[1])):
        film[:, :, :LABEL_HEIGHT, x : x + width] = _text(label, LABEL_HEIGHT, width)
        film[:, :, LABEL_HEIGHT:, x : x + width] = frames
    return film


def grid(pictures: Tensor) -> Tensor:
    """Arrange B pictures (3, H, W) in rows: one picture (3, H', W'), about as high as wide."""
    count, _, height, width = pictures.shape
    columns = math.ceil(math.sqrt(count * height / width))
    rows = -(-count // columns)
    shape = (3, rows * (height + GAP) - GAP, columns * (width + GAP) - GAP)
    whole = torch.full(shape, BACKGROUND, dtype=torch.uint8)
    for i, picture in enumerate(pictures):
        y, x = i // columns * (height + GAP), i % columns * (width + GAP)
        whole[:, y : y + height, x : x + width] = picture
    return whole


def save_gif(path: Path, frames: Iterable[Tensor], fps: float, scale: int = 1) -> None:
    """Save frames as an endless GIF, whole or not at all.

    Frames of at most 256 colours are exact; others get their 256 best colours, without dithering.

    Args:
        path: where; the folder is made if need be.
        frames: (T, C, H, W) uint8, or (C, H, W) one by one; at least one.
        fps: frames per second, at most 50 (viewers slow down what is faster); the format rounds a frame's
            time to hundredths of a second.
        scale: whole factor to enlarge by.
    """
    if not 0 < fps <= 50:
        raise ValueError(f"fps must be in (0, 50], got {fps}")
    pictures = (_paletted(enlarge(frame[None], scale)[0]) for frame in frames)
    first = next(pictures)
    path.parent.mkdir(parents=True, exist_ok=True)
    hundredths = round(100 / fps)
    with replacing(path) as temporary, temporary.open("wb") as file:
        first.save(file, "GIF", save_all=True, append_images=pictures, duration=10 * hundredths, loop=0)


def save_pair(path: Path, real: Tensor, dream: Tensor, fps: float) -> None:
    """Save reality and dream, (T, C, H, W) each, side by side as a GIF, large enough to watch."""
    save_gif(path, side_by_side(real, dream, fitting_scale(real.shape[-2]), ("real", "dream")), fps)


def save_strip(
    path: Path, rows: Sequence[tuple[str, Tensor]], scale: int, frames_per_line: int = FRAMES_PER_LINE
) -> None:
    """Save a PNG of labelled rows of frames, each (T, C, H, W), time from left to right, in lines as text is."""
    num_frames = len(rows[0][1])
    if any(len(frames) != num_frames for _, frames in rows):
        raise ValueError("all rows of a strip need the same number of frames")
    label_width = int(max(_font().getlength(label) for label, _ in rows)) + 4 * GAP
    film = torch.stack([enlarge(frames, scale) for _, frames in rows])  # (rows, T, 3, height, width)
    height, width = film.shape[3:]
    line_height = len(rows) * (height + GAP) + LINE_GAP
    num_lines, per_line = -(-num_frames // frames_per_line), min(num_frames, frames_per_line)
    shape = (3, num_lines * line_height - LINE_GAP - GAP, label_width + per_line * (width + GAP) - GAP)
    picture = torch.full(shape, BACKGROUND, dtype=torch.uint8)
    for line in range(num_lines):
        for row, (label, _) in enumerate(rows):
            y = line * line_height + row * (height + GAP)
            picture[:, y : y + height, :label_width] = _text(label, height, label_width)
            for place, frame in enumerate(film[row, line * per_line : (line + 1) * per_line]):
                x = label_width + place * (width + GAP)
                picture[:, y : y + height, x : x + width] = frame
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy()).save(temporary, "PNG")


def _paletted(frame: Tensor) -> Image.Image:
    """(3, H, W) uint8 with a palette of its own, by median cut: exact up to 256 colours, never dithered."""
    return Image.fromarray(frame.permute(1, 2, 0).contiguous().numpy()).quantize(256)


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(FONT_SIZE)


def _text(text: str, height: int, width: int) -> Tensor:
    """A box with centred text: (3, height, width) uint8."""
    image = Image.new("RGB", (width, height), (BACKGROUND,) * 3)
    ImageDraw.Draw(image).text((width // 2, height // 2), text, (INK,) * 3, _font(), anchor="mm")
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)
