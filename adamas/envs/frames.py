"""Finding the RGB frames of a Gymnasium environment: in its observations or from render(), as (H, W, 3) uint8."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Space
from numpy.typing import NDArray

from adamas.core.errors import UserError
from adamas.envs.config import RenderedConfig

LARGE = 64  # an observation with both sides at least this many pixels is taken for a picture, however dark
DARK = 32  # smaller observations whose values are all below this are taken for symbols


@dataclass(frozen=True)
class Image:
    """An observation that is an image, or an image in a dictionary of observations.

    Attributes:
        path: the keys that lead to it; empty if the whole observation is the image.
        space: the space of the image.
    """

    path: tuple[str, ...]
    space: Box

    @property
    def key(self) -> str:
        """The path in the notation of ``env.frames_key``."""
        return "/".join(self.path)

    @property
    def is_rgb(self) -> bool:
        """Whether it is (H, W, 3) uint8, as in Gymnasium's own pixel environments."""
        return self.space.dtype == np.uint8 and self.space.shape[2:] == (3,)

    @property
    def is_readable(self) -> bool:
        """Whether it can be converted to RGB: its channels are known, and it is uint8 or has floats in [0, 1]."""
        unit = bool((self.space.low == 0).all() and (self.space.high == 1).all())
        is_unit = unit and np.issubdtype(self.space.dtype or np.uint8, np.floating)
        return _channels_last(self.space.shape) is not None and (self.space.dtype == np.uint8 or is_unit)

    def of(self, obs: Any) -> Any:
        """Take the image out of an observation."""
        for key in self.path:
            obs = obs[key]
        return obs

    def rgb(self, obs: Any, what: str) -> NDArray[np.uint8]:
        """Take the image out of an observation, as (H, W, 3) uint8. H and W may differ from those of its space.

        Raises:
            UserError: if it cannot be converted; ``what`` is its name in the message.
        """
        image = self.of(obs)
        if np.ndim(image) != len(self.space.shape):
            raise UserError(
                f"{what} has the shape {np.shape(image)}, but its space says {self.space.shape}; correct one of them"
            )
        return to_rgb(image, what)

    def seems_symbolic(self, first: Callable[[], Any]) -> bool:
        """Guess whether its bytes encode symbols (such as object types) rather than colours.

        It compares the maximum of its space, and for a small image also that of ``first()``, with :data:`DARK`.
        """
        if self.space.dtype != np.uint8:
            return False
        if self.space.high.max() < DARK:
            return True
        small = min(_channels_last(self.space.shape) or (0, 0)) < LARGE
        return small and bool(np.asarray(self.of(first())).max(initial=0) < DARK)


def find_images(space: Space[Any], path: tuple[str, ...] = ()) -> Iterator[Image]:
    """Find the entries of observations that have the shape of an image."""
    if isinstance(space, Dict):
        for name, part in space.spaces.items():
            yield from find_images(part, (*path, name))
    elif isinstance(space, Box) and _channels_last(space.shape) is not None:
        yield Image(path, space)


def observed_image(env: gymnasium.Env[Any, Any], config: RenderedConfig) -> Image | None:
    """Choose the image in the observations that gives the frames; None if the observations should not be used.

    An image that is configured explicitly is always used. Otherwise only an RGB picture is.

    Raises:
        UserError: if the configured image does not exist, or several images fit.
    """
    if config.frames == "render":
        return None
    images = list(find_images(env.observation_space))
    names = ", ".join(image.key for image in images if image.path) or "none"
    if config.frames_key is not None:
        chosen = [image for image in images if image.key == config.frames_key]
        if not chosen:
            raise UserError(
                f"`env.frames_key` is {config.frames_key!r}, but observations of {config.game} have no such image "
                f"(images: {names}); choose one that they have"
            )
        return chosen[0]
    rgb = [image for image in images if image.is_rgb]
    if len(rgb) == 1:
        return rgb[0]
    if config.frames == "observation" and len(images) != 1:
        problem = f"several images ({names}); choose one with `env.frames_key`" if images else "no image"
        raise UserError(f"`env.frames` is observation, but observations of {config.game} have {problem}")
    return images[0] if config.frames == "observation" else None


def other_image(env: gymnasium.Env[Any, Any], config: RenderedConfig, first: Callable[[], Any]) -> Image:
    """Choose the image of an environment without RGB observations and without rendering.

    Raises:
        UserError: if there is not exactly one image that can be converted to RGB.
    """
    images = [image for image in find_images(env.observation_space) if image.is_readable]
    images = [image for image in images if image.is_rgb or not image.seems_symbolic(first)]
    if len(images) == 1:
        return images[0]
    names = ", ".join(image.key for image in images)
    problem = (
        f"has several images in its observations ({names}); choose one with `env.frames_key`"
        if images
        else "neither observes nor renders RGB pixels; choose a game that does"
    )
    raise UserError(f"{config.game} {problem}")


def can_render(env: gymnasium.Env[Any, Any]) -> bool | None:
    """Whether the environment's metadata say that it renders RGB pixels; None if they do not say."""
    modes = (getattr(env, "metadata", None) or {}).get("render_modes")
    return None if modes is None else "rgb_array" in modes


def to_rgb(image: Any, what: str) -> NDArray[np.uint8]:
    """Convert an image to (H, W, 3) uint8.

    Supported shapes are (H, W), (H, W, 1), (H, W, 3), (1, H, W), (3, H, W), and (H, W, 4), whose alpha channel is
    dropped. Integers must be in [0, 255]. Floats must be in [0, 1] and are scaled to [0, 255].

    Args:
        image: an observation, or the result of ``render()``.
        what: its name in error messages, such as ``"render() of Walk-v0"``.

    Raises:
        UserError: if the image has another shape or other values.
    """
    if image is None:
        raise UserError(f"{what} gave None; it must give RGB pixels")
    array = np.asarray(image)
    size = _channels_last(array.shape, with_alpha=True)
    if size is None or 0 in size:
        raise UserError(
            f"{what} gave an image of shape {array.shape}; it must be (height, width) with 1 or 3 channels"
        )
    if array.ndim == 2:
        array = array[..., None]
    elif array.shape[:2] != size:
        array = array.transpose(1, 2, 0)
    array = array[..., :3] if array.shape[2] > 1 else array.repeat(3, axis=2)
    if array.dtype == np.uint8:
        return array
    low, high = array.min(), array.max()
    if np.issubdtype(array.dtype, np.integer) and low >= 0 and high <= 255:
        return array.astype(np.uint8)
    if np.issubdtype(array.dtype, np.floating) and low >= 0 and high <= 1:
        return np.rint(array * 255).astype(np.uint8)
    raise UserError(
        f"{what} gave pixels of type {array.dtype} from {low} to {high}; they must be whole numbers in [0, 255] or "
        "floats in [0, 1]"
    )


def _channels_last(shape: tuple[int, ...], with_alpha: bool = False) -> tuple[int, int] | None:
    """Height and width of an image of ``shape``; None if it is not the shape of an image.

    Four channels are accepted only with ``with_alpha``, because in observations they may also be four stacked frames.
    """
    if len(shape) == 2:
        return shape[0], shape[1]
    if len(shape) != 3:
        return None
    if shape[2] in ((1, 3, 4) if with_alpha else (1, 3)):
        return shape[0], shape[1]
    return (shape[1], shape[2]) if shape[0] in (1, 3) else None
