"""Films: the frames that went in come out, whole films alone, and wrong ones refused in one line."""

from __future__ import annotations

import io
import re
import resource
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from PIL import Image, ImageSequence
from torch import Tensor

from adamas.core.errors import UserError
from adamas.media import films
from adamas.media.films import FASTEST, film_bytes, film_scale, save_film
from adamas.media.pictures import enlarge

av = pytest.importorskip("av")

FLAT = 4  # levels of 255 that a flat colour may be off by: rounding to brightness and colour costs 2


class Read(NamedTuple):
    """A film read back: (T, 3, H, W) uint8, and what it says of itself."""

    frames: Tensor
    fps: Fraction
    seconds: float
    codec: str
    format: str
    colours: tuple[int, int]


def read(film: bytes) -> Read:
    with av.open(io.BytesIO(film)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        about = stream.average_rate, container.duration / av.time_base, context.name, context.pix_fmt
        frames = [
            torch.from_numpy(f.to_ndarray(format="rgb24")).permute(2, 0, 1) for f in container.decode(stream)
        ]
        return Read(torch.stack(frames), *about, (context.colorspace, context.color_range))


def noise(num_frames: int, height: int, width: int, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (num_frames, channels, height, width), generator=generator, dtype=torch.uint8)


def moving(num_frames: int, size: int) -> Tensor:
    """A bright square of pure colours that walks over black, leaving white behind."""
    frames = torch.zeros(num_frames, 3, size, size, dtype=torch.uint8)
    for t in range(num_frames):
        frames[t, :, :, : t % size] = 255
        frames[t, t % 3, t % size, t % size] = 255
    return frames


def error(film: Read, frames: Tensor, scale: int) -> int:
    """The largest difference of a pixel, in levels of 255."""
    return int((film.frames.int() - enlarge(frames, scale).int()).abs().max())


@pytest.mark.parametrize(
    ("fps", "rate"), [(15.0, Fraction(15)), (29.97, Fraction(2997, 100)), (60, Fraction(60))]
)
def test_mp4_has_every_frame_at_a_constant_rate_in_its_colours(fps: float, rate: Fraction) -> None:
    frames = moving(20, 10)
    film = read(film_bytes(frames, fps, ".mp4"))
    assert film.frames.shape == (20, 3, 160, 160) and film.fps == rate
    assert film.seconds == pytest.approx(20 / rate, abs=1e-3)
    assert (film.codec, film.format, film.colours) == ("h264", "yuv420p", (6, 1))
    assert error(film, frames, 16) <= FLAT


def test_pixels_stay_square_and_close_to_true_in_what_is_hardest_to_encode() -> None:
    frames = noise(10, 16, 16)
    assert error(read(film_bytes(frames, 15, ".mp4", scale=10)), frames, 10) <= 12


def test_other_encoders(monkeypatch: pytest.MonkeyPatch) -> None:
    options = films.ENCODERS["mpeg4"]
    monkeypatch.setattr(films, "ENCODERS", {"absent": {}, "mpeg4": options})
    frames = moving(20, 10)
    film = read(film_bytes(frames, 29.97, ".mp4"))
    assert film.codec == "mpeg4" and film.fps == Fraction(2997, 100) and len(film.frames) == 20
    assert error(film, frames, 16) <= FLAT
    monkeypatch.setattr(films, "ENCODERS", {"absent": {}, "missing": {}})
    with pytest.raises(
        UserError, match=r"^PyAV was built without absent and missing; save the film as \.gif$"
    ):
        film_bytes(frames, 15, ".mp4")


@pytest.mark.parametrize("shape", [(3, 7), (1, 1), (4, 5), (5, 4)])
def test_odd_sizes_repeat_their_last_row_and_column(shape: tuple[int, int]) -> None:
    grey = noise(2, *shape, channels=1)
    film = read(film_bytes(grey, 15, ".mp4", scale=1))
    height, width = shape
    assert film.frames.shape == (2, 3, height + height % 2, width + width % 2)
    assert (film.frames[:, :, :height, :width].int() - grey.int()).abs().max() <= FLAT
    assert (film.frames[:, :, -1].int() - film.frames[:, :, height - 1].int()).abs().max() <= FLAT
    assert (film.frames[..., -1].int() - film.frames[..., width - 1].int()).abs().max() <= FLAT


def test_a_browser_can_start_before_it_has_all_of_it() -> None:
    film = film_bytes(noise(5, 16, 16), 15, ".mp4")
    assert film.index(b"moov") < film.index(b"mdat")


def test_gif_is_exact() -> None:
    frames = moving(8, 10)
    with Image.open(io.BytesIO(film_bytes(iter(frames), 50, ".gif", scale=3))) as image:
        shown = [
            torch.tensor(list(f.convert("RGB").tobytes())).view(30, 30, 3)
            for f in ImageSequence.Iterator(image)
        ]
        assert image.info["duration"] == 20
    assert torch.equal(torch.stack(shown).permute(0, 3, 1, 2), enlarge(frames, 3).long())


def test_scales_are_even() -> None:
    assert [film_scale(height) for height in (10, 16, 32, 64, 84, 160, 210)] == [16, 10, 6, 4, 2, 2, 2]


@pytest.mark.parametrize("ending", FASTEST)
def test_nothing_is_overwritten(ending: str, tmp_path: Path) -> None:
    first = tmp_path / "new" / f"film{ending}"
    assert save_film(first, noise(2, 8, 8), 15) == first
    before = first.read_bytes()
    second = save_film(first, noise(3, 8, 8), 15)
    assert second == tmp_path / "new" / f"film-2{ending}" and second.read_bytes() != before
    assert first.read_bytes() == before and set(first.parent.iterdir()) == {first, second}


@pytest.mark.parametrize("ending", FASTEST)
def test_a_film_that_breaks_off_leaves_nothing(ending: str, tmp_path: Path) -> None:
    def interrupted() -> Iterator[Tensor]:
        yield from noise(3, 8, 8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_film(tmp_path / f"film{ending}", interrupted(), 15)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", FASTEST)
def test_a_full_disk_is_one_line_and_leaves_nothing(ending: str, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(UserError, match=rf"^cannot write .*film\{ending}: File too large; free space or"):
            save_film(tmp_path / f"film{ending}", noise(20, 16, 16), 15)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("place", "reason"),
    [("file/film.mp4", "File exists|Not a directory"), (f"{'long' * 64}.mp4", "File name too long")],
)
def test_a_place_that_cannot_be_written_to_is_found_before_the_frames(
    place: str, reason: str, tmp_path: Path
) -> None:
    def never() -> Iterator[Tensor]:
        pytest.fail("computed frames that have nowhere to go")
        yield

    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=rf"^cannot write .*{place}: ({reason}); free space"):
        save_film(tmp_path / place, never(), 15)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("film.avi", {}, "film.avi is no film: its name must end in .mp4 or .gif"),
        ("film", {}, "film is no film: its name must end in .mp4 or .gif"),
        ("film.mp4", {"fps": 61}, "`fps` is 61; it must be at least 0.1 and at most 60"),
        ("film.GIF", {"fps": 60}, "`fps` is 60; it must be at least 0.1 and at most 50"),
        ("film.gif", {"fps": 0}, "`fps` is 0; it must be at least 0.1 and at most 50"),
        ("film.mp4", {"fps": float("nan")}, "`fps` is nan; it must be at least 0.1 and at most 60"),
        (
            "film.gif",
            {"scale": 0},
            "`scale` is 0; it must be at least 1, and no side longer than 4096 pixels",
        ),
        (
            "film.mp4",
            {"scale": 513},
            "`scale` is 513; it must be at least 1, and no side longer than 4096 pixels",
        ),
    ],
)
def test_what_cannot_be_made(name: str, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as refusal:
        save_film(tmp_path / name, noise(2, 8, 4), **{"fps": 15, **options})
    assert "\n" not in str(refusal.value) and not list(tmp_path.iterdir())


def test_wrong_frames(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a film needs at least one frame"):
        save_film(tmp_path / "film.mp4", [], 15)
    with pytest.raises(ValueError, match="frames differ in shape"):
        save_film(tmp_path / "film.gif", [noise(1, 8, 8)[0], noise(1, 8, 10)[0]], 15)
    with pytest.raises(ValueError, match=r"frames must be \(T, 1 or 3, H, W\) uint8"):
        save_film(tmp_path / "film.mp4", noise(2, 8, 8).float(), 15)


def test_without_pyav_there_are_gifs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(
        UserError, match=r"^PyAV is not installed; install it with: pip install 'adamas\[video\]'$"
    ):
        save_film(tmp_path / "film.mp4", noise(2, 8, 8), 15)
    assert save_film(tmp_path / "film.gif", noise(2, 8, 8), 15).stat().st_size


@pytest.mark.parametrize("name", ["film.mp4", "film.gif"])
def test_the_film_is_not_to_blame_for_a_frame_that_cannot_be_computed(tmp_path: Path, name: str) -> None:
    def broken() -> Iterator[Tensor]:
        yield from noise(2, 10, 10)
        raise OSError("the dataset is gone")

    with pytest.raises(OSError, match="the dataset is gone"):
        save_film(tmp_path / name, broken(), 10)
    assert not list(tmp_path.iterdir())
