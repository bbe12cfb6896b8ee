"""Images and videos are stored upright, in the colours that a person sees, or refused."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("h5py")

import av
from PIL import Image, ImageCms

from adamas.core.errors import UserError
from tests.helpers.recordings import frames, grey_of, greys, imported, write_csv, write_images, write_video

UPRIGHT = np.zeros((16, 24, 3), np.uint8)
UPRIGHT[:, 12:] = (255, 0, 0)  # red on the right
UPRIGHT[8:, :12] = (0, 0, 255)  # blue below on the left

LYING = {  # what is stored, so that turning it as the number says (Exif 2.3, tag 274) makes it upright
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.swapaxes(0, 1),
    6: np.rot90(UPRIGHT, 1),  # shown after a quarter to the right
    7: np.rot90(UPRIGHT, 2).swapaxes(0, 1),
    8: np.rot90(UPRIGHT, -1),
}


def images(folder: Path, *pictures: Image.Image, suffix: str = ".png", **options: Any) -> Path:
    folder.mkdir(parents=True)
    for i, picture in enumerate(pictures):
        picture.save(folder / f"{i}{suffix}", **options)
    return folder


def first(path: Path) -> np.ndarray:
    """(H, W, 3) the first frame of what is imported."""
    return imported(path, without_actions=True)[0].episode(0).obs[0].transpose(1, 2, 0)


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


ONE = 1 << 16
MATRICES = {  # a, b, c, d of the display matrix by the same numbers
    1: (ONE, 0, 0, ONE),
    2: (-ONE, 0, 0, ONE),
    3: (-ONE, 0, 0, -ONE),
    4: (ONE, 0, 0, -ONE),
    5: (0, ONE, ONE, 0),
    6: (0, ONE, -ONE, 0),  # a phone held upright
    7: (0, -ONE, -ONE, 0),
    8: (0, -ONE, ONE, 0),
}


def turn(path: Path, a: int, b: int, c: int, d: int) -> None:
    """Write a display matrix into the track header of an MP4 file (ISO 14496-12)."""
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 40
    content[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)


@pytest.mark.parametrize("orientation", MATRICES)
def test_videos_that_lie_on_their_side(tmp_path: Path, orientation: int) -> None:
    path = write_video(tmp_path / "clip.mp4", np.stack([LYING[orientation]] * 2))
    turn(path, *MATRICES[orientation])
    assert np.array_equal(first(path), UPRIGHT)


def test_a_video_that_is_turned_by_half_a_quarter(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", greys(2))
    turn(path, 46341, 46341, -46341, 46341)
    with pytest.raises(
        UserError, match=r"clip\.mp4 is rotated by an angle that is not a multiple of 90 degrees"
    ):
        first(path)


BT709, BT601, BT2020, LIMITED, FULL = 1, 5, 9, 1, 2


def coloured(path: Path, y: int, u: int, v: int, size: int = 64, **tags: Any) -> Path:
    """Two frames of one colour, given as it is stored; and what the file says of its colours."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(10), options={"crf": "0"})
        stream.width = stream.height = size
        stream.pix_fmt = "yuv444p"
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        for _ in range(2):
            frame = av.VideoFrame(size, size, "yuv444p")
            for plane, value in zip(frame.planes, (y, u, v), strict=True):
                plane.update(bytes([value]) * (plane.line_size * plane.height))
            for name, value in tags.items():
                if name.startswith("color"):
                    setattr(frame, name, value)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def rgb(y: float, u: float, v: float, red: float, blue: float, full: bool) -> list[int]:
    """What ITU-R BT.601, BT.709 and BT.2020 say, with the weights of red and blue in luma."""
    luma = y / 255 if full else (y - 16) / 219
    pb, pr = ((x - 128) / (255 if full else 224) for x in (u, v))
    r, b = luma + 2 * (1 - red) * pr, luma + 2 * (1 - blue) * pb
    g = (luma - red * r - blue * b) / (1 - red - blue)
    return [round(255 * min(1, max(0, x))) for x in (r, g, b)]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"colorspace": BT601, "color_range": LIMITED}, [165, 79, 21]),
        ({"colorspace": BT601, "color_range": FULL}, [159, 83, 33]),
        ({"colorspace": BT709, "color_range": LIMITED}, [173, 84, 18]),
        ({"colorspace": BT709, "color_range": FULL}, [166, 87, 29]),
        ({"colorspace": BT2020, "color_range": LIMITED}, [168, 78, 16]),
        ({}, [165, 79, 21]),  # says nothing: as FFmpeg itself, OpenCV and imageio write it
    ],
)
def test_the_colours_of_videos(tmp_path: Path, tags: dict[str, int], expected: list[int]) -> None:
    weights = {BT709: (0.2126, 0.0722), BT2020: (0.2627, 0.0593)}.get(
        tags.get("colorspace", 0), (0.299, 0.114)
    )
    assert rgb(100, 90, 170, *weights, full=tags.get("color_range") == FULL) == expected
    found = first(coloured(tmp_path / "clip.mp4", 100, 90, 170, **tags))
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_hd_videos_that_do_not_name_their_colours(tmp_path: Path) -> None:
    store, (note,) = imported(coloured(tmp_path / "clip.mp4", 100, 90, 170, size=720), without_actions=True)
    assert "clip.mp4 does not name its colour matrix; BT.601 is assumed" in note
    assert np.abs(store.episode(0).obs[0, :, 0, 0].astype(int) - [165, 79, 21]).max() <= 1


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    path = coloured(tmp_path / "clip.mp4", 100, 90, 170, sample_aspect_ratio=Fraction(16, 15))
    store, (note,) = imported(path, without_actions=True)
    assert "clip.mp4 has pixels that are not square (16/15)" in note and store.obs_shape == (3, 64, 64)


@pytest.mark.parametrize(("tag", "grey"), [(LIMITED, [0, 128, 255]), (FULL, [16, 126, 235])])
def test_grey_videos(tmp_path: Path, tag: int, grey: list[int]) -> None:
    found = [coloured(tmp_path / f"{y}.mp4", y, 128, 128, color_range=tag) for y in (16, 126, 235)]
    assert [first(path)[0, 0].tolist() for path in found] == [[level] * 3 for level in grey]


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"color_trc": 16}, r"clip\.mp4 is an HDR video \(PQ\)"),
        ({"color_trc": 18}, r"clip\.mp4 is an HDR video \(HLG\)"),
        ({"colorspace": 8}, r"clip\.mp4 has a colour matrix that is not known \(8\)"),
    ],
)
def test_videos_whose_colours_would_be_wrong(tmp_path: Path, tags: dict[str, int], message: str) -> None:
    path = coloured(tmp_path / "clip.mp4", 100, 90, 170, **tags)
    with pytest.raises(UserError, match=message):
        first(path)


@pytest.mark.parametrize("alpha", [255, 254])
def test_transparent_videos(tmp_path: Path, alpha: int) -> None:
    picture = np.concatenate((UPRIGHT, np.full((16, 24, 1), alpha, np.uint8)), axis=2)
    with av.open(str(tmp_path / "clip.mov"), "w") as container:
        stream = container.add_stream("qtrle", rate=Fraction(10))
        stream.height, stream.width, stream.pix_fmt = 16, 24, "argb"
        for _ in range(2):
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(picture, format="rgba").reformat(format="argb"))
            )
        container.mux(stream.encode())
    if alpha == 255:
        assert np.array_equal(first(tmp_path / "clip.mov"), UPRIGHT)
    else:
        with pytest.raises(UserError, match=r"clip\.mov is partly transparent"):
            first(tmp_path / "clip.mov")


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
        (saved(Image.new("1", (60_000, 60_000))), "cannot be read as an image .*decompression bomb"),
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
        (["1.png", "1.jpg"], "have the same number"),
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


def damaged(path: Path, start: float, end: float) -> Path:
    """Zeros in a part of a file."""
    content = bytearray(path.read_bytes())
    part = slice(int(start * len(content)), int(end * len(content)))
    content[part] = bytes(len(content[part]))
    path.write_bytes(content)
    return path


def test_zeros_within_a_video(tmp_path: Path) -> None:
    path = damaged(write_video(tmp_path / "clip.mp4", frames(30)), 0.4, 0.5)
    write_csv(tmp_path / "clip.csv", action=range(29), reward=range(1, 30))
    store, (note, *_) = imported(path)
    episode = store.episode(0)
    difference = np.abs(
        episode.obs[:, None].astype(int) - frames(30).transpose(0, 3, 1, 2)
    )  # (T + 1, 30, 3, H, W)
    which = difference.mean(axis=(2, 3, 4)).argmin(axis=1)  # a frame after a lost one may be blurred
    lost = 30 - len(which)
    assert (
        1 <= lost < 15
        and f"clip.mp4 is damaged: {lost} of 30 frames cannot be decoded, the first at 1." in note
    )
    assert episode.action.tolist() == which[:-1].tolist()  # every frame still has its own row's action
    assert episode.reward.sum() == sum(range(1, 30))


def test_a_list_of_other_files_is_no_video(tmp_path: Path) -> None:
    """FFmpeg would read the other file, which may be anywhere on this machine."""
    write_video(tmp_path / "private.mkv", greys(4))
    (tmp_path / "mine").mkdir()
    clip = tmp_path / "mine" / "c.mp4"
    clip.write_text(f"ffconcat version 1.0\nfile '{tmp_path / 'private.mkv'}'\n")
    write_csv(clip.with_suffix(".csv"), action=[0, 1, 0])
    with pytest.raises(UserError, match=r"c\.mp4"):
        imported(clip)


def test_the_name_of_a_video_is_no_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "x.mkv", greys(4))
    write_csv(tmp_path / "concat:x.csv", action=[0, 1, 0])
    (tmp_path / "x.mkv").rename("concat:x.mkv")
    store, _ = imported(Path("concat:x.mkv"))
    assert grey_of(store) == [0, 1, 2, 3]
    (tmp_path / "concat:x.mkv").rename("x.mkv")
    Path("concat:x.mkv").write_text("no video")
    with pytest.raises(UserError, match=r"concat:x\.mkv"):
        imported(Path("concat:x.mkv"))


def test_a_video_that_ends_early(tmp_path: Path) -> None:
    path = damaged(write_video(tmp_path / "clip.mkv", frames(30)), 0.5, 1)
    store, notes = imported(path, without_actions=True)
    assert store.num_transitions < 29
    assert any("clip.mkv declares a length of 3.000 s, but its frames end at" in note for note in notes)


def test_a_gap_in_a_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "clip.mkv"), "w") as container:
        stream = container.add_stream("libx264rgb", rate=Fraction(10), options={"crf": "0", "bf": "0"})
        stream.height, stream.width, stream.pix_fmt = 16, 32, "rgb24"
        for i, picture in enumerate(greys(8)):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = i if i < 5 else i + 4, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    _, notes = imported(tmp_path / "clip.mkv", without_actions=True)
    assert any(
        "clip.mkv has no frame between 0.400 and 0.900 s, although the usual interval is 0.100 s" in n
        for n in notes
    )


def test_images_beside_each_other_stay_greys(tmp_path: Path) -> None:
    assert grey_of(imported(write_images(tmp_path / "shots", greys(4)), without_actions=True)[0]) == [
        0,
        1,
        2,
        3,
    ]


def test_a_format_that_cannot_be_decoded(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", greys(2))
    content = path.read_bytes()
    at = content.index(b"avc1", content.index(b"stsd"))
    path.write_bytes(content[:at] + b"zzzz" + content[at + 4 :])
    with pytest.raises(UserError, match=r"clip\.mp4 is in a format that PyAV cannot decode"):
        first(path)


def test_texts_in_a_video_that_are_no_utf_8(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", greys(2))
    path.write_bytes(path.read_bytes().replace(b"VideoHandler", b"\xff" * 12))
    assert first(path).shape == (16, 32, 3)


def test_what_else_an_image_says_may_be_damaged(tmp_path: Path) -> None:
    exif = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff"  # a table of tags that is cut off
    picture = Image.fromarray(UPRIGHT)
    assert first(images(tmp_path / "shots", picture, picture, suffix=".jpg", exif=exif)).shape == (16, 24, 3)
