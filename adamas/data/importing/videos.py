"""Read frames from videos, upright and in the colours that a player shows, and count those that cannot be decoded."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from adamas.core.errors import UserError, not_installed
from adamas.data.importing.source import CannotReadError, Frame, Note

PLAIN = {
    "format_whitelist": "mov,mp4,matroska,webm,avi,mpeg,mpegvideo,mpegts,flv,asf",
    "protocol_whitelist": "file",
}
"""Formats that FFmpeg may open. Without this list, a file named like a video could make it open other files."""
VIDEOS = (".mp4", ".m4v", ".mkv", ".webm", ".avi", ".mov", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".3gp")
HDR = {16: "PQ", 18: "HLG"}
"""Transfer characteristics (ITU-T H.273) of high dynamic range."""
MATRICES = (0, 1, 2, 4, 5, 6, 7, 9)
"""Colour matrices (ITU-T H.273) that FFmpeg's scaler supports: RGB, BT.709, unspecified, FCC, BT.601, 240M, BT.2020."""
UNSPECIFIED = 2  # number of the unspecified colour matrix
HD = 720  # players assume BT.709 for unspecified videos with at least this many rows of pixels
GAP = 1.5  # a frame is missing if two frames are further apart than this times the usual interval


def decode(file: Path, note: Note) -> Iterator[Frame]:
    """Yield every frame of a video with its time; frames that cannot be decoded have no pixels.

    Args:
        file: the video.
        note: called with lines about missing frames and ambiguous formats.

    Raises:
        UserError: the file is not a video, or its colours cannot be converted.
    """
    try:
        import av
    except ModuleNotFoundError as error:
        raise not_installed("av", "data") from error
    try:
        with av.open(f"file:{file.absolute()}", options=PLAIN, metadata_errors="replace") as container:
            streams = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
            if not streams:
                raise UserError(
                    f"{file} has no video stream that can be read; give a video, or restore this one"
                )
            if len(streams) > 1:
                note(f"{file} has {len(streams)} video streams; the first one is read")
            if streams[0].codec_context is None:
                raise UserError(f"{file} is in a format that PyAV cannot decode; encode it again as H.264")
            _note_format(file, streams[0].codec_context, note)
            yield from _checked(file, container, streams[0], note)
    except av.FFmpegError as error:
        raise CannotReadError(
            f"{file} cannot be decoded ({error.strerror}); restore it or encode it again"
        ) from error


def _note_format(file: Path, codec: Any, note: Note) -> None:
    """Note properties of the video because of which a player may show other frames than those that are stored."""
    aspect = codec.sample_aspect_ratio
    if aspect and aspect != 1:
        note(f"{file} has pixels that are not square ({aspect}); frames are not stretched")
    if (
        codec.height >= HD
        and int(codec.colorspace) == UNSPECIFIED
        and codec.format
        and not codec.format.is_rgb
    ):
        note(
            f"{file} does not name its colour matrix; BT.601 is assumed, which FFmpeg, OpenCV and imageio write"
        )


def _checked(file: Path, container: Any, stream: Any, note: Note) -> Iterator[Frame]:
    """Yield the frames, and note which are missing."""
    total = lost = 0
    first_lost = 0.0
    times: list[float] = []
    for frame in _numbered(file, container, stream):
        total += 1
        if frame.pixels is None:
            first_lost = first_lost if lost else frame.time or 0.0
            lost += 1
        if frame.time is not None:
            times.append(frame.time)
        yield frame
    if lost:
        note(
            f"{file} is damaged: {lost} of {total} frames cannot be decoded, the first at {first_lost:.3f} s; they are "
            "left out, and the frames after them may show artefacts"
        )
    if len(times) < 2:
        return
    steps = np.diff(times)
    usual = median(steps.tolist())
    gaps = np.flatnonzero(steps > GAP * usual)
    if len(gaps):
        note(
            f"{file} has no frame between {times[gaps[0]]:.3f} and {times[gaps[0] + 1]:.3f} s, although the usual "
            f"interval is {usual:.3f} s ({len(gaps)} such gaps); it may be damaged"
        )
    declared = _declared(container, stream)
    if declared is not None and declared - (times[-1] + usual) > max(0.01 * declared, 2 * usual):
        end = times[-1] + usual
        note(
            f"{file} declares a length of {declared:.3f} s, but its frames end at {end:.3f} s; it may be cut off"
        )


def _declared(container: Any, stream: Any) -> float | None:
    """Return the declared length of the video stream in seconds; None if only the container's length is known."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    alone = len(container.streams) == 1 and container.duration is not None
    return container.duration / 1e6 if alone else None


def _numbered(file: Path, container: Any, stream: Any) -> Iterator[Frame]:
    """Yield the frames in display order, including those that cannot be decoded."""
    import av

    lost: list[int] = []  # times, in the stream's units, of undecodable frames that have not been yielded yet
    # In AVI only packets have times, and frames may be decoded in another order.
    given: list[int] = []
    sort = container.format.name == "avi"
    number = 0
    start: int | None = None

    def frame_at(time: int | None, pixels: np.ndarray | None) -> Frame:
        nonlocal number, start
        start = time if start is None else start
        number += 1
        if time is None or start is None or stream.time_base is None:
            return Frame(number - 1, None, pixels)
        return Frame(number - 1, float((time - start) * stream.time_base), pixels)

    for packet in container.demux(stream):
        time = packet.dts if sort else packet.pts
        if sort and time is not None:
            insort(given, time)
        try:
            frames = packet.decode()
        except av.FFmpegError:
            if time is None:
                raise
            if sort:
                given.remove(time)
            insort(lost, time)
            continue
        for frame in frames:
            time = given.pop(0) if sort and given else frame.pts
            while lost and time is not None and lost[0] < time:
                yield frame_at(lost.pop(0), None)
            yield frame_at(time, None if frame.is_corrupt else _rgb(file, frame))
    for time in lost:
        yield frame_at(time, None)


def _rgb(file: Path, frame: Any) -> np.ndarray:
    """Return the pixels as a player shows them: (H, W, 3) uint8, upright.

    Raises:
        UserError: the frame is HDR or transparent, or has an unknown colour matrix.
    """
    if int(frame.color_trc) in HDR:
        raise UserError(
            f"{file} is an HDR video ({HDR[int(frame.color_trc)]}); convert it to a video of standard dynamic range"
        )
    if int(frame.colorspace) not in MATRICES:
        raise UserError(
            f"{file} has a colour matrix that is not known ({int(frame.colorspace)}); encode it as BT.709"
        )
    if any(component.is_alpha for component in frame.format.components):
        rgba = frame.to_ndarray(format="rgba")
        if (rgba[..., 3] < 255).any():
            raise UserError(f"{file} is partly transparent; give a video with a background")
        pixels = rgba[..., :3]
    else:
        pixels = frame.to_ndarray(format="rgb24")
    matrix = frame.side_data.get("DISPLAYMATRIX")
    return pixels if matrix is None else upright(file, pixels, np.frombuffer(bytes(matrix), np.int32))


def upright(file: Path, pixels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Rotate and mirror a frame as its video's display matrix says.

    Args:
        file: the video, for error messages.
        pixels: (H, W, 3).
        matrix: (9,) numbers a, b, u, c, d, v, x, y, w: the pixel in column p and row q is shown in column a p + c q + x
            and row b p + d q + y.

    Raises:
        UserError: the rotation is not a multiple of 90 degrees.
    """
    a, b, _, c, d, *_ = np.sign(matrix).tolist()
    if a and d and not (b or c):
        across, down = a, d
    elif b and c and not (a or d):
        pixels, across, down = pixels.swapaxes(0, 1), c, b
    else:
        raise UserError(
            f"{file} is rotated by an angle that is not a multiple of 90 degrees; encode it again, upright"
        )
    return np.ascontiguousarray(pixels[::down, ::across])
