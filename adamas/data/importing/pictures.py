"""Frames out of images: upright, in the colours that a viewer shows."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from adamas.core.errors import UserError
from adamas.data.importing.names import natural
from adamas.data.importing.source import CannotReadError, Frame, Note

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
EIGHT_BITS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "YCbCr", "HSV")
"""Pillow's modes that become RGB without loss of what a person sees; (LA, PA, RGBA: where nothing is transparent)."""


def open_all(files: Sequence[Path], note: Note) -> Iterator[Frame]:
    """Images as frames without times."""
    for number, file in enumerate(files):
        yield Frame(number, None, rgb(file, str(file)))


FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
"""What Pillow may take a file for. It goes by the content, and would start Ghostscript for a PostScript file."""


def rgb(file: Path | io.BytesIO, name: str) -> np.ndarray:
    """An image as a viewer shows it: (H, W, 3) uint8. ``name`` is what errors call it.

    Raises:
        UserError: it cannot be read, or its colours cannot be told.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks about what else is in the file
            with Image.open(file, formats=FORMATS) as image:
                if getattr(image, "n_frames", 1) > 1:
                    raise UserError(
                        f"{name} is an animation of {image.n_frames} frames; give a video or single images"
                    )
                image.load()
                return np.asarray(_rgb(ImageOps.exif_transpose(image), name))
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise CannotReadError(f"{name} is no image that can be read ({error}); restore it") from error


def _rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":
        grey = np.asarray(image).astype(np.int64)
        if grey.min() < 0 or grey.max() > 65535:
            raise UserError(
                f"{name} has grey values from {grey.min()} to {grey.max()}; save it with 8 or 16 bits"
            )
        return Image.fromarray(((grey * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")
    if image.mode not in EIGHT_BITS:
        raise UserError(f"{name} has colours of kind {image.mode}; save it as RGB")
    if image.has_transparency_data and image.convert("RGBA").getchannel("A").tobytes().strip(b"\xff"):
        raise UserError(f"{name} is transparent in parts; save it with its background")
    return _in_srgb(image.convert("RGB"), image.info.get("icc_profile"), image.mode, name)


def _in_srgb(image: Image.Image, profile: bytes | None, mode: str, name: str) -> Image.Image:
    """Colours as a usual screen shows them, where the image says that they are another screen's."""
    if profile is None or not mode.startswith("RGB"):
        return image
    try:
        theirs = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(theirs).lower():
            return image
        converted = ImageCms.profileToProfile(image, theirs, ImageCms.createProfile("sRGB"))
    except (OSError, ImageCms.PyCMSError) as error:
        raise UserError(
            f"{name} has a colour profile that cannot be read ({error}); save it without"
        ) from error
    assert converted is not None  # it is not converted in place
    return converted


def pictures(folder: Path) -> list[Path]:
    """A folder's images, in natural order of their names."""
    files = [path for path in folder.iterdir() if path.suffix.lower() in IMAGES and path.is_file()]
    return sorted(files, key=lambda path: natural(path.stem.lower()))


def check_order(files: Sequence[Path], note: Note) -> None:
    """Look whether the names of a folder's images leave a doubt about their order.

    Args:
        files: at least one, in natural order.
        note: told if numbers are missing.

    Raises:
        UserError: two images have the same number, or fractions can be read in two ways.
    """
    folder, stems = files[0].parent, [file.stem for file in files]
    parts = [
        [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", stem.lower())]
        for stem in stems
    ]
    for i, (one, other) in enumerate(pairwise(parts)):
        if one == other:
            raise UserError(
                f"{files[i]} and {files[i + 1].name} have the same number; remove one, or rename it"
            )
    if all(re.fullmatch(r"\d+\.\d+", stem) for stem in stems) and stems != sorted(stems, key=float):
        raise UserError(
            f"{folder}: names such as {files[0].name} and {files[-1].name} can be put in order as fractions or as "
            "pairs of numbers; number the images 0, 1, 2, ..."
        )
    varying = {
        i
        for one, other in pairwise(parts)
        for i in range(max(len(one), len(other)))
        if one[i : i + 1] != other[i : i + 1]
    }
    if len(varying) != 1 or not all(isinstance(part[min(varying)], int) for part in parts):
        return
    steps = np.diff([int(part[min(varying)]) for part in parts])
    usual = int(np.median(steps))
    if (steps % usual == 0).all() and (steps != usual).any():
        after = files[int((steps != usual).argmax())].name
        note(
            f"{folder}: {int((steps // usual - 1).sum())} images are missing by their numbers, first after {after}"
        )
