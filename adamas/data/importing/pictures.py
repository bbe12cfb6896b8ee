"""Read frames from image files, upright and in sRGB, as an image viewer shows them."""

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
"""Pillow's modes that convert to RGB without visible loss. Those with an alpha channel must be opaque."""


def read_pictures(files: Sequence[Path], note: Note) -> Iterator[Frame]:
    """Yield images as frames without times."""
    for number, file in enumerate(files):
        yield Frame(number, None, rgb(file, str(file)))


FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
"""Formats that Pillow may detect. By default it would detect PostScript too, and run Ghostscript on it."""


def rgb(file: Path | io.BytesIO, name: str) -> np.ndarray:
    """Read an image as a viewer shows it: (H, W, 3) uint8.

    Args:
        file: the image.
        name: name of the image in error messages.

    Raises:
        UserError: the image cannot be read, or cannot be converted to opaque RGB.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata
            with Image.open(file, formats=FORMATS) as image:
                if getattr(image, "n_frames", 1) > 1:
                    raise UserError(
                        f"{name} is an animation of {image.n_frames} frames; give a video or single images"
                    )
                image.load()
                return np.asarray(_rgb(ImageOps.exif_transpose(image), name))
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise CannotReadError(f"{name} cannot be read as an image ({error}); restore it") from error


def _rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":
        grey = np.asarray(image).astype(np.int64)
        if grey.min() < 0 or grey.max() > 65535:
            raise UserError(
                f"{name} has grey values from {grey.min()} to {grey.max()}; save it with 8 or 16 bits"
            )
        return Image.fromarray(((grey * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")
    if image.mode not in EIGHT_BITS:
        raise UserError(f"{name} has the colour mode {image.mode}; save it as RGB")
    if image.has_transparency_data and image.convert("RGBA").getchannel("A").tobytes().strip(b"\xff"):
        raise UserError(f"{name} is partly transparent; save it with a background")
    return _in_srgb(image.convert("RGB"), image.info.get("icc_profile"), image.mode, name)


def _in_srgb(image: Image.Image, profile: bytes | None, mode: str, name: str) -> Image.Image:
    """Convert an image with a colour profile to sRGB."""
    if profile is None or not mode.startswith("RGB"):
        return image
    try:
        theirs = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(theirs).lower():
            return image
        converted = ImageCms.profileToProfile(image, theirs, ImageCms.createProfile("sRGB"))
    except (OSError, ImageCms.PyCMSError) as error:
        raise UserError(
            f"{name} has a colour profile that cannot be read ({error}); save it without a profile"
        ) from error
    assert converted is not None  # profileToProfile returns None only for in-place conversion
    return converted


def list_pictures(folder: Path) -> list[Path]:
    """Return the images in a folder, except hidden ones, in natural order of their names."""
    shown = (path for path in folder.iterdir() if path.name[0] != ".")
    files = [path for path in shown if path.suffix.lower() in IMAGES and path.is_file()]
    return sorted(files, key=lambda path: natural(path.stem.lower()))


def check_order(files: Sequence[Path], note: Note) -> None:
    """Check that the names of a folder's images determine their order.

    Args:
        files: at least one image, in natural order.
        note: called if numbers are missing.

    Raises:
        UserError: two images have the same name or number, or names could be fractions or pairs of numbers.
    """
    folder, stems = files[0].parent, [file.stem for file in files]
    parts = [
        [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", stem.lower())]
        for stem in stems
    ]
    for i, (one, other) in enumerate(pairwise(parts)):
        if one == other:
            same = "name" if stems[i].lower() == stems[i + 1].lower() else "number"
            raise UserError(
                f"{files[i]} and {files[i + 1].name} have the same {same}; remove one, or rename it"
            )
    if all(re.fullmatch(r"\d+\.\d+", stem) for stem in stems) and stems != sorted(stems, key=float):
        raise UserError(
            f"{folder}: names such as {files[0].name} and {files[-1].name} could be fractions or pairs of numbers, "
            "which have different orders; number the images 0, 1, 2, ..."
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
