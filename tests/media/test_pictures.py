"""Films and strips: exact colours, exact places, and the right frames."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence
from torch import Tensor

from adamas.envs.config import MinAtarConfig
from adamas.media.pictures import (
    BACKGROUND,
    GAP,
    LABEL_HEIGHT,
    LINE_GAP,
    enlarge,
    fitting_scale,
    grid,
    hold_last,
    save_gif,
    save_strip,
    side_by_side,
)

BREAKOUT = MinAtarConfig(game="breakout", size=10)


def noise(num_frames: int, size: int, seed: int = 0, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (num_frames, channels, size, size), generator=generator, dtype=torch.uint8)


def to_tensor(image: Image.Image) -> Tensor:
    rgb = image.convert("RGB")
    return (
        torch.frombuffer(bytearray(rgb.tobytes()), dtype=torch.uint8)
        .view(*rgb.size[::-1], 3)
        .permute(2, 0, 1)
    )


def read_gif(path: Path, milliseconds: int) -> Tensor:
    """(T, 3, H, W): equal frames in a row, stored once with a longer duration, told apart again."""
    frames = []
    with Image.open(path) as image:
        assert image.info["loop"] == 0, "it must repeat for ever"
        for frame in ImageSequence.Iterator(image):
            frames += [to_tensor(frame)] * (frame.info["duration"] // milliseconds)
    return torch.stack(frames)


# --- frames ------------------------------------------------------------------------------------------------


def test_pixels_become_squares() -> None:
    frames = torch.tensor([[1, 2], [3, 4]], dtype=torch.uint8)[None, None]
    expected = torch.tensor([[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]], dtype=torch.uint8)
    assert torch.equal(enlarge(frames, 2), expected.expand(1, 3, 4, 4))
    assert [fitting_scale(height) for height in (10, 16, 64, 84, 210)] == [16, 10, 3, 2, 1]
    with pytest.raises(ValueError, match="frames must be"):
        enlarge(frames.float(), 2)
    with pytest.raises(ValueError, match="frames must be"):
        enlarge(frames[0], 2)


def test_grid() -> None:
    pictures = noise(3, 4)
    whole = grid(pictures)
    assert whole.shape == (3, 8 + GAP, 8 + GAP)
    places = [(0, 0), (0, 4 + GAP), (4 + GAP, 0)]
    assert all(
        torch.equal(whole[:, y : y + 4, x : x + 4], p) for (y, x), p in zip(places, pictures, strict=True)
    )
    for y, x in ((slice(4, 4 + GAP), slice(None)), (slice(4, None), slice(4, None))):
        assert (whole[:, y, x] == BACKGROUND).all()
    wide = torch.zeros(4, 3, 5, 20, dtype=torch.uint8)
    assert grid(wide).shape == (3, 20 + 3 * GAP, 20) and torch.equal(grid(pictures[:1]), pictures[0])


def test_side_by_side() -> None:
    left, right = noise(3, 20), noise(3, 20, seed=1)
    film = side_by_side(left, right, 2, ("real", "dream"))
    assert film.shape == (3, 3, LABEL_HEIGHT + 40, 2 * 40 + GAP)
    assert torch.equal(film[:, :, LABEL_HEIGHT:, :40], enlarge(left, 2))
    assert torch.equal(film[:, :, LABEL_HEIGHT:, 40 + GAP :], enlarge(right, 2))
    assert (film[:, :, :, 40 : 40 + GAP] == BACKGROUND).all()
    for label in (film[0, :, :LABEL_HEIGHT, :40], film[0, :, :LABEL_HEIGHT, 40 + GAP :]):
        assert label.min() < 60, "something is written there"
        assert (label[:, [0, -1]] == BACKGROUND).all(), "and not cut off"
    with pytest.raises(ValueError, match="differ in shape"):
        side_by_side(left, right[:2], 2, ("", ""))


def test_strip(tmp_path: Path) -> None:
    real, dream = noise(4, 30), noise(4, 30, seed=1, channels=1)
    save_strip(tmp_path / "new" / "strip.png", [("real", real), ("dream", dream)], 2)
    with Image.open(tmp_path / "new" / "strip.png") as image:
        picture = to_tensor(image)
    left = picture.shape[2] - (4 * 60 + 3 * GAP)
    assert left > 20 and picture.shape[1] == 2 * 60 + GAP
    for t in range(4):
        x = left + t * (60 + GAP)
        assert torch.equal(picture[:, :60, x : x + 60], enlarge(real, 2)[t])
        assert torch.equal(picture[:, 60 + GAP :, x : x + 60], enlarge(dream, 2)[t])
    assert (picture[:, 60 : 60 + GAP] == BACKGROUND).all()
    save_strip(tmp_path / "lines.png", [("real", real), ("dream", dream)], 2, frames_per_line=3)
    with Image.open(tmp_path / "lines.png") as image:
        picture = to_tensor(image)
    assert picture.shape[1] == 2 * (2 * 60 + GAP) + GAP + LINE_GAP
    assert picture.shape[2] == left + 3 * 60 + 2 * GAP
    second = picture[:, 2 * (60 + GAP) + LINE_GAP :]
    assert torch.equal(second[:, :60, left : left + 60], enlarge(real, 2)[3])
    assert torch.equal(second[:, 60 + GAP :, left : left + 60], enlarge(dream, 2)[3])
    assert (second[:, :, left + 60 :] == BACKGROUND).all()
    with pytest.raises(ValueError, match="same number"):
        save_strip(tmp_path / "strip.png", [("real", real), ("dream", dream[:3])], 2)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_gif_is_exact(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    num_frames, size = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 16))  # at most 256 colours
    film = noise(
        num_frames, size, seed=data.draw(st.integers(0, 99)), channels=data.draw(st.sampled_from([1, 3]))
    )
    if data.draw(st.booleans()):
        film[1:] = film[:-1].clone()  # frames repeat
    path = tmp_path_factory.mktemp("gif") / "film.gif"
    scale = data.draw(st.integers(1, 3))
    save_gif(path, film, fps=20, scale=scale)
    assert torch.equal(read_gif(path, milliseconds=50), enlarge(film, scale))


def test_gif_of_256_colours_that_change_is_exact(tmp_path: Path) -> None:
    grey = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    red = torch.cat((grey, torch.zeros_like(grey), grey), dim=1)
    film = torch.cat((grey.expand(1, 3, 16, 16), red, red.flip(2)))
    save_gif(tmp_path / "film.gif", film, fps=10)
    assert torch.equal(read_gif(tmp_path / "film.gif", milliseconds=100), film)


def test_gif_of_many_colours_is_close_and_not_dithered(tmp_path: Path) -> None:
    ramp = torch.arange(64, dtype=torch.uint8)
    frame = torch.stack((4 * ramp[:, None].expand(64, 64), 4 * ramp.expand(64, 64), ramp[:, None] + ramp))
    save_gif(tmp_path / "film.gif", frame[None], fps=10, scale=2)
    shown = read_gif(tmp_path / "film.gif", milliseconds=100)[0]
    assert (shown.int() - enlarge(frame[None], 2)[0].int()).abs().float().mean() < 6
    assert torch.equal(shown, enlarge(shown[None, :, ::2, ::2], 2)[0]), "every square has one colour"


def test_gif_speed(tmp_path: Path) -> None:
    save_gif(tmp_path / "film.gif", noise(2, 4), fps=15)
    with Image.open(tmp_path / "film.gif") as image:
        assert image.info["duration"] == 70  # 66.7 ms to the nearest hundredth of a second
    for fps in (0, 51):
        with pytest.raises(ValueError, match="fps"):
            save_gif(tmp_path / "film.gif", noise(2, 4), fps=fps)


# --- episodes ----------------------------------------------------------------------------------------------


def test_the_last_frame_is_held() -> None:
    frames = noise(3, 2)
    assert torch.equal(hold_last(frames, 5), frames[[0, 1, 2, 2, 2]])
    assert torch.equal(hold_last(frames, 2), frames[:2])
