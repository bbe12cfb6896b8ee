"""Images are stored upright, in order and in the colours that a person sees, or refused."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("h5py")

from PIL import Image, ImageCms

from adamas.core.errors import UserError
from tests.helpers.recordings import frames, grey_of, greys, imported, write_csv, write_images
from tests.helpers.turned_pictures import LYING, UPRIGHT, first


def images(folder: Path, *pictures: Image.Image, suffix: str = ".png", **options: Any) -> Path:
    folder.mkdir(parents=True)
    for i, picture in enumerate(pictures):
        picture.save(folder / f"{i}{suffix}", **options)
    return folder


@pytest.mark.parametrize("orientation", LYING)
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_images_that_lie_on_their_side(tmp_path: Path, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(np.ascontiguousarray(LYING[orientation]))
    folder = images(tmp_path / "shots", picture, picture, suffix=suffix, exif=exif, quality=100)
    found = first(folder).astype(int)
    assert found.shape == UPRIGHT.shape
    corners = [(2, 2), (2, 21), (13, 2), (13, 21)]
    assert all(np.abs(found[at] - UPRIGHT[at]).max() < 30 for at in corners)


def palette() -> Image.Image:
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 255, 0])
    picture.putpixel((1, 0), 1)
    return picture


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (Image.fromarray(np.array([[0, 65535, 32768, 257]], np.uint16)), [0, 255, 128, 1]),
        (Image.fromarray(np.array([[0, 200]], np.uint8)), [0, 200]),
        (Image.fromarray(np.array([[False, True]])), [0, 255]),
        (palette(), [[255, 0, 0], [0, 255, 0]]),
        (Image.new("RGBA", (2, 1), (10, 20, 30, 255)), [[10, 20, 30]] * 2),
        (Image.new("LA", (2, 1), (10, 255)), [10, 10]),
    ],
)
def test_the_colours_of_images(tmp_path: Path, picture: Image.Image, expected: list[Any]) -> None:
    found = first(images(tmp_path / "shots", picture, picture))[0]
    assert found.tolist() == [x if isinstance(x, list) else [x] * 3 for x in expected]


def test_the_colours_of_another_screen(tmp_path: Path) -> None:
    """A profile whose red and blue have changed places: what is stored as red is blue."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    folder = images(tmp_path / "same", *[Image.fromarray(UPRIGHT)] * 2, icc_profile=bytes(profile))
    assert np.array_equal(first(folder), UPRIGHT)
    for one, other in ((b"rXYZ", b"tmp!"), (b"bXYZ", b"rXYZ"), (b"tmp!", b"bXYZ")):
        at = profile.index(one, 128, 128 + 4 + 12 * 20)  # in the table of tags
        profile[at : at + 4] = other
    text = (
        bytes(profile)
        .replace("sRGB".encode("utf-16-be"), "mine".encode("utf-16-be"))
        .replace(b"sRGB", b"mine")
    )
    found = first(images(tmp_path / "swapped", *[Image.fromarray(UPRIGHT)] * 2, icc_profile=text))
    assert np.abs(found.astype(int) - UPRIGHT[..., ::-1]).max() <= 2
    broken = images(tmp_path / "broken", *[Image.fromarray(UPRIGHT)] * 2, icc_profile=b"hello")
    with pytest.raises(UserError, match=r"0\.png has a colour profile that cannot be read"):
        first(broken)


def animation() -> bytes:
    content = io.BytesIO()
    pictures = [Image.fromarray(picture) for picture in frames(3)]
    pictures[0].save(content, "PNG", save_all=True, append_images=pictures[1:])
    return content.getvalue()


def postscript() -> bytes:
    """Pillow would start Ghostscript for it."""
    return b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 16\n%%EndComments\nshowpage\n%%EOF\n"


def saved(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


def decompression_bomb() -> bytes:
    """A small file whose header promises 60,000 x 60,000 pixels."""
    content = bytearray(saved(Image.new("1", (4, 4))))
    header = slice(12, 29)  # the name of the first chunk, width, height and five bytes more
    content[16:24] = struct.pack(">II", 60_000, 60_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[header]))
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            saved(Image.new("RGBA", (4, 4), (1, 2, 3, 254))),
            "is partly transparent; save it with a background",
        ),
        (saved(palette(), transparency=1), "is partly transparent"),
        (saved(Image.new("RGB", (4, 4)), transparency=(0, 0, 0)), "is partly transparent"),
        (saved(Image.new("CMYK", (4, 4)), "JPEG"), "has the colour mode CMYK; save it as RGB"),
        (animation(), "is an animation of 3 frames"),
        (saved(Image.fromarray(frames(1)[0]))[:-300], "cannot be read as an image"),
        (b"hello", "cannot be read as an image"),
        (postscript(), r"cannot be read as an image \(cannot identify"),
        (decompression_bomb(), "cannot be read as an image .*decompression bomb"),
    ],
)
def test_images_that_would_be_misread(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "shots").mkdir()
    for name in ("0.png", "1.png"):
        (tmp_path / "shots" / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"0\.png {message}") as error:
        first(tmp_path / "shots")
    assert "\n" not in str(error.value)


def named(folder: Path, *names: str) -> Path:
    """Images of grey 0, 1, ... under these names."""
    folder.mkdir()
    for picture, name in zip(greys(len(names)), names, strict=True):
        Image.fromarray(picture).save(folder / name)
    return folder


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["shot10.png", "shot9.png", "Shot2.png"], [2, 1, 0]),
        (["a2.png", "a10.png", "b1.png"], [0, 1, 2]),
        (["0.25.png", "0.50.png", "1.00.png"], [0, 1, 2]),
    ],
)
def test_the_order_of_images(tmp_path: Path, names: list[str], order: list[int]) -> None:
    store, notes = imported(named(tmp_path / "shots", *names), without_actions=True)
    assert grey_of(store) == order
    assert [note for note in notes if "missing" not in note] == []


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["1.png", "01.png"], "have the same number"),
        (["1.png", "1.jpg"], "have the same name"),
        (["0.5.png", "0.25.png"], "could be fractions or pairs of numbers"),
    ],
)
def test_images_whose_order_is_in_doubt(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        imported(named(tmp_path / "shots", *names), without_actions=True)


def test_missing_images_are_said(tmp_path: Path) -> None:
    folder = named(tmp_path / "shots", "f10.png", "f20.png", "f50.png", "f60.png", "f70.png")
    _, (note,) = imported(folder, without_actions=True)
    assert note == f"{folder}: 2 images are missing by their numbers, first after f20.png"


def test_images_beside_each_other_stay_greys(tmp_path: Path) -> None:
    assert grey_of(imported(write_images(tmp_path / "shots", greys(4)), without_actions=True)[0]) == [
        0,
        1,
        2,
        3,
    ]


def test_what_else_an_image_says_may_be_damaged(tmp_path: Path) -> None:
    exif = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff"  # a table of tags that is cut off
    picture = Image.fromarray(UPRIGHT)
    assert first(images(tmp_path / "shots", picture, picture, suffix=".jpg", exif=exif)).shape == (16, 24, 3)


def test_hidden_files_are_no_frames_and_no_tables(tmp_path: Path) -> None:
    """On other file systems macOS keeps a hidden file with what it knows of each file beside it."""
    folder = write_images(tmp_path / "shots", greys(4))
    write_csv(folder / "actions.csv", action=[0, 1, 2])
    for name in ("._shot0.png", "._actions.csv", ".shots.csv"):
        (folder / name).write_bytes(b"hello")
    (tmp_path / ".shots.csv").write_text("hello")
    store, notes = imported(folder)
    assert grey_of(store) == [0, 1, 2, 3] and notes == []
    write_images(tmp_path / ".shot", greys(4))
    (tmp_path / "..csv").write_text("hello")
    with pytest.raises(UserError, match=r"\.shot needs one table"):
        imported(tmp_path / ".shot")
