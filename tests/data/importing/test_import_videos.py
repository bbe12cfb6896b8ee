"""Videos are stored upright, in the colours that a person sees, or refused."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("h5py")

import av

from adamas.core.errors import UserError
from tests.helpers.recordings import frames, grey_of, greys, imported, write_csv, write_video
from tests.helpers.turned_pictures import LYING, UPRIGHT, first

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
def test_grey_videos_stay_grey(tmp_path: Path, tag: int, grey: list[int]) -> None:
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


def test_a_video_that_ends_early_is_noted(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("times", [[0, 0.1, 0.2], [0, 100, 200]])
def test_a_video_of_a_single_frame_with_times(tmp_path: Path, times: list[float]) -> None:
    path = write_video(tmp_path / "clip.mp4", greys(1))
    write_csv(tmp_path / "clip.csv", time=times, action=[0, 1, 2])
    with pytest.raises(UserError, match=r"clip\.mp4 has 1 frames, and an episode needs two"):
        imported(path)
