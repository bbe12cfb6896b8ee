"""Films of frames: MP4, which any browser plays, and GIF.

Frames are (C, H, W) uint8 with C = 1 or 3. Every pixel becomes a square of a whole number of pixels. A GIF of at
most 256 colours a frame is exact. MP4 keeps brightness for every pixel but colour for 2x2 of them (yuv420p, the one
kind that all players know): enlarged by an even factor, colours are off by a few levels of 255; by an odd one, they
blend where two squares meet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from adamas.core.checks import check_range
from adamas.core.errors import UserError, not_installed
from adamas.core.files import blaming, creating_numbered
from adamas.media.pictures import enlarge, fitting_scale, save_gif

FASTEST: Mapping[str, int] = {".mp4": 60, ".gif": 50}
"""Endings of films, and the most frames per second of each."""

MAX_SIDE = 4096  # pixels; few players decode more

ENCODERS: Mapping[str, Mapping[str, str]] = {"libx264": {"crf": "1"}, "mpeg4": {"qmin": "1", "qmax": "1"}}
"""What MP4 is encoded with, the first that PyAV was built with, and options that lose next to nothing."""


def check_film(path: Path, fps: float) -> None:
    """Refuse a film that cannot be made, before there are frames of it.

    Raises:
        UserError: an unknown ending, frames too fast or too slow for it, or PyAV is not installed and needed.
    """
    ending = path.suffix.lower()
    if ending not in FASTEST:
        raise UserError(f"{path} is no film: its name must end in {' or '.join(FASTEST)}")
    check_range("fps", fps, least=0.1, most=FASTEST[ending])
    if ending == ".mp4":
        _pyav()


def save_film(path: Path, frames: Iterable[Tensor], fps: float, scale: int | None = None) -> Path:
    """Save a film, whole or not at all, and never over an earlier one.

    The place is tried before the first frame is asked for, so that ``frames`` may compute them as it goes.

    Args:
        path: where; its ending, one of :data:`FASTEST`, says which kind. The folder is made if need be.
        frames: (C, H, W) uint8 each, all of one shape; a tensor (T, C, H, W) is such frames. At least one.
        fps: frames per second, in [0.1, the most of the kind]. A GIF rounds the time of a frame to hundredths of
            a second.
        scale: whole factor to enlarge by; None: :func:`film_scale`.

    Returns:
        where it is: ``path``, or where that exists the first free of ``name-2.mp4``, ``name-3.mp4``, ...

    Raises:
        UserError: as :func:`check_film`, frames too large, or a place that cannot be written to.
        ValueError: no frames, or frames of other kinds than these.
    """
    check_film(path, fps)
    write = _write_mp4 if path.suffix.lower() == ".mp4" else save_gif
    failures: list[OSError] = []
    with blaming(path, failures), creating_numbered(path) as draft:
        write(draft.path, _enlarged(_noting(failures, frames), scale), fps)
    return draft.path


def film_bytes(frames: Iterable[Tensor], fps: float, ending: str, scale: int | None = None) -> bytes:
    """A film as :func:`save_film` makes it, for sending; ``ending`` is one of :data:`FASTEST`."""
    with TemporaryDirectory() as folder:
        return save_film(Path(folder) / f"film{ending}", frames, fps, scale).read_bytes()


def film_scale(height: int) -> int:
    """The least even factor that makes frames of ``height`` pixels large enough to watch."""
    scale = fitting_scale(height)
    return scale + scale % 2


def _noting(failures: list[OSError], frames: Iterable[Tensor]) -> Iterator[Tensor]:
    """Pass frames on, and note the error that ends them: the file of the film is not to blame for it."""
    try:
        yield from frames
    except OSError as error:
        failures.append(error)
        raise


def _enlarged(frames: Iterable[Tensor], scale: int | None) -> Iterator[Tensor]:
    """Enlarge frames one by one, to (3, H', W') each, and check their shapes."""
    shape = None
    for frame in frames:
        height, width = frame.shape[-2:]
        factor = film_scale(height) if scale is None else scale
        if factor < 1 or factor * max(height, width) > MAX_SIDE:
            raise UserError(
                f"`scale` is {factor}; it must be at least 1, and no side longer than {MAX_SIDE} pixels: frames are "
                f"{width}x{height}"
            )
        if shape not in (None, frame.shape):
            raise ValueError(f"frames differ in shape: {tuple(frame.shape)}")
        shape = frame.shape
        yield enlarge(frame[None].cpu(), factor)[0]
    if shape is None:
        raise ValueError("a film needs at least one frame")


def _write_mp4(path: Path, pictures: Iterable[Tensor], fps: float) -> None:
    """(3, H, W) uint8 each, at a constant rate. Colours are BT.601's, and say so: players assume it of small films."""
    av = _pyav()
    rate = Fraction(fps).limit_denominator(1000)
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as film:
        codec = _encoder(av)
        stream = film.add_stream(codec, rate=rate, options=dict(ENCODERS[codec]))
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.color_range = 1  # limited
        context.colorspace = context.color_primaries = context.color_trc = 6  # SMPTE 170M, which is BT.601
        for number, picture in enumerate(pictures):
            pixels = _even(picture).permute(1, 2, 0).contiguous().numpy()
            if number == 0:
                stream.height, stream.width = pixels.shape[:2]
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
                format="yuv420p", dst_colorspace="ITU601", dst_color_range="MPEG", interpolation="AREA"
            )
            frame.pts, frame.time_base = number, 1 / rate
            film.mux(stream.encode(frame))
        film.mux(stream.encode())


def _even(picture: Tensor) -> Tensor:
    """The format takes even numbers of rows and columns alone: where they are odd, the last one comes twice."""
    height, width = picture.shape[1:]
    rows, columns = (torch.arange(side + side % 2).clamp(max=side - 1) for side in (height, width))
    return picture[:, rows][:, :, columns]


def _encoder(av: Any) -> str:
    for name in ENCODERS:
        with suppress(av.codec.codec.UnknownCodecError):
            av.codec.Codec(name, "w")
            return name
    raise UserError(f"PyAV was built without {' and '.join(ENCODERS)}; save the film as .gif")


def _pyav() -> Any:
    """PyAV, which is optional."""
    try:
        import av
    except ImportError as error:
        raise not_installed("PyAV", "video") from error
    return av
