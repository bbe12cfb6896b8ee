"""Frames out of videos: upright, in the colours that a player shows, and with those that are lost counted."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from adamas.core.errors import UserError, require
from adamas.data.importing.source import CannotReadError, Frame, Note

PLAIN = {
    "format_whitelist": "mov,mp4,matroska,webm,avi,mpeg,mpegvideo,mpegts,flv,asf",
    "protocol_whitelist": "file",
}
"""What FFmpeg may open. Under the name of a video, it would else follow a list of other files (ffconcat, HLS)."""
VIDEOS = (".mp4", ".m4v", ".mkv", ".webm", ".avi", ".mov", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".3gp")
HDR = {16: "PQ", 18: "HLG"}
"""Transfer characteristics (ITU-T H.273) of pictures brighter than a screen's white."""
MATRICES = (0, 1, 2, 4, 5, 6, 7, 9)
"""Colour matrices (ITU-T H.273) that FFmpeg's scaler knows: RGB, BT.709, unspecified, FCC, BT.601, 240M, BT.2020."""
UNSPECIFIED = 2  # colour matrix
HD = 720  # rows of pixels from which on players take BT.709 where nothing is specified
GAP = 1.5  # times the usual time between two frames: one is missing


def decode(file: Path, note: Note) -> Iterator[Frame]:
    """Every frame of a video with its time. Frames that cannot be decoded come without pixels.

    Args:
        file: the video.
        note: told of frames that are lost.

    Raises:
        UserError: it is no video, or its colours cannot be told.
    """
    try:
        import av
    except ModuleNotFoundError as error:
        raise require("av", "data") from error
    try:
        with av.open(f"file:{file.absolute()}", options=PLAIN, metadata_errors="replace") as container:
            streams = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
            if not streams:
                raise UserError(f"{file} has no video stream that can be read; give a video, or restore it")
            if len(streams) > 1:
                note(f"{file} has {len(streams)} video streams; the first one is read")
            if streams[0].codec_context is None:
                raise UserError(f"{file} is in a format that PyAV cannot decode; encode it anew, as H.264")
            _tell_format(file, streams[0].codec_context, note)
            yield from _checked(file, container, streams[0], note)
    except av.FFmpegError as error:
        raise CannotReadError(
            f"{file} cannot be decoded ({error.strerror}); restore it or encode it anew"
        ) from error


def _tell_format(file: Path, codec: Any, note: Note) -> None:
    """Note what about the video a player might show differently from the frames that are stored."""
    aspect = codec.sample_aspect_ratio
    if aspect and aspect != 1:
        note(f"{file} has pixels that are not square ({aspect}); frames are kept as they are stored")
    if (
        codec.height >= HD
        and int(codec.colorspace) == UNSPECIFIED
        and codec.format
        and not codec.format.is_rgb
    ):
        note(
            f"{file} does not name its colour matrix; BT.601 is taken, as FFmpeg, OpenCV and imageio write such files"
        )


def _checked(file: Path, container: Any, stream: Any, note: Note) -> Iterator[Frame]:
    """The frames, and lines about what is missing."""
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
            "left out, and frames after them may be blurred"
        )
    if len(times) < 2:
        return
    steps = np.diff(times)
    usual = median(steps.tolist())
    gaps = np.flatnonzero(steps > GAP * usual)
    if len(gaps):
        note(
            f"{file} has no frame between {times[gaps[0]]:.3f} and {times[gaps[0] + 1]:.3f} s, although one comes "
            f"every {usual:.3f} s elsewhere ({len(gaps)} such gaps); it may be damaged"
        )
    declared = _declared(container, stream)
    if declared is not None and declared - (times[-1] + usual) > max(0.01 * declared, 2 * usual):
        end = times[-1] + usual
        note(
            f"{file} says that it lasts {declared:.3f} s, but its frames end at {end:.3f} s; it may be cut off"
        )


def _declared(container: Any, stream: Any) -> float | None:
    """Seconds that a video is said to last; None if nothing but its sound may say so."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    alone = len(container.streams) == 1 and container.duration is not None
    return container.duration / 1e6 if alone else None


def _numbered(file: Path, container: Any, stream: Any) -> Iterator[Frame]:
    """Frames in the order in which they are shown, and among them those that are lost."""
    import av

    lost: list[int] = []  # times, in the stream's units, of frames that are not yet counted
    given: list[
        int
    ] = []  # times of packets; AVI has none of frames, and frames may be decoded in another order
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
    """The pixels as a player shows them: (H, W, 3) uint8, upright.

    Raises:
        UserError: they cannot be shown on a usual screen as they are.
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
            raise UserError(f"{file} is transparent in parts; give a video with its background")
        pixels = rgba[..., :3]
    else:
        pixels = frame.to_ndarray(format="rgb24")
    matrix = frame.side_data.get("DISPLAYMATRIX")
    return pixels if matrix is None else upright(file, pixels, np.frombuffer(bytes(matrix), np.int32))


def upright(file: Path, pixels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Turn and mirror a frame as its video's display matrix says.

    Args:
        file: the video, for messages.
        pixels: (H, W, 3).
        matrix: (9,) numbers a, b, u, c, d, v, x, y, w: the pixel in column p and row q is shown in column a p + c q + x
            and row b p + d q + y.

    Raises:
        UserError: it turns by something else than quarters.
    """
    a, b, _, c, d, *_ = np.sign(matrix).tolist()
    if a and d and not (b or c):
        across, down = a, d
    elif b and c and not (a or d):
        pixels, across, down = pixels.swapaxes(0, 1), c, b
    else:
        raise UserError(f"{file} is turned by an angle that is no quarter; encode it anew, upright")
    return np.ascontiguousarray(pixels[::down, ::across])
