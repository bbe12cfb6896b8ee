"""What a player's page and the server say to each other.

The page sends JSON, at most :data:`MAX_MESSAGE` bytes each, which :func:`parse` turns into one of the requests
below. The server answers with moments: a line about the picture, then the picture itself (:func:`encode`).
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adamas.core.config import from_dict, to_dict
from adamas.core.errors import UserError, nearest
from adamas.diffusion.samplers import SamplerConfig, SamplerName

MAX_MESSAGE = 512  # bytes
LIMITS: Mapping[str, tuple[float, float]] = {
    "fps": (1, 60),
    "steps": (1, 50),
    "horizon": (0, 100_000),
    "temperature": (0, 5),
}

View = Literal["dream", "both", "real"]
Who = Literal["human", "agent"]


@dataclass(frozen=True)
class Settings:
    """How a player's worlds run."""

    fps: float = 15.0
    """Steps per second, if the machine is fast enough."""
    steps: int = 3
    """Denoising steps N of a frame."""
    method: SamplerName = "euler"
    """Which sampler draws a frame."""
    horizon: int = 0
    """Steps after which a dream stops; 0: never."""
    temperature: float = 1.0
    """Of the agent; 0 is greedy."""
    strip: bool = False
    """Send the denoising steps of every frame too."""
    training: bool = False
    """The real game is the one that agents train in: where there are lives, losing one ends an episode."""

    def __post_init__(self) -> None:
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise UserError(f"{name} is {value}; it must lie in [{low}, {high}]")

    def sampler(self, trained: SamplerConfig) -> SamplerConfig:
        """How frames are drawn: as the agent's dreams were, but for the number of steps and the method."""
        return replace(trained, num_steps=self.steps, method=self.method)


@dataclass(frozen=True)
class Action:
    """Hold an action until the next such request; None: nothing is pressed. ``seq`` counts them."""

    action: int | None
    seq: int = 0


@dataclass(frozen=True)
class Control:
    """Who acts."""

    who: Who


@dataclass(frozen=True)
class Pause:
    """Stop the worlds, or let them go on."""

    paused: bool


@dataclass(frozen=True)
class Step:
    """One step, while paused."""


@dataclass(frozen=True)
class Reset:
    """Begin anew, in all worlds."""


@dataclass(frozen=True)
class Fork:
    """Let the dream go on from the last frames of the game beside it."""


@dataclass(frozen=True)
class Look:
    """Show the dream, the real game, or both under the same actions."""

    view: View


@dataclass(frozen=True)
class Change:
    """Some of the settings."""

    values: Mapping[str, Any]

    def apply(self, settings: Settings) -> Settings:
        """``settings``, changed. Raises UserError: an unknown one, or a value out of range."""
        return from_dict(Settings, {**to_dict(settings), **self.values}, "settings")


@dataclass(frozen=True)
class Record:
    """Begin or stop to record what is played."""

    on: bool


Request = Action | Control | Pause | Step | Reset | Fork | Look | Change | Record

_REQUESTS: Mapping[str, type[Request]] = {
    "action": Action,
    "control": Control,
    "pause": Pause,
    "step": Step,
    "reset": Reset,
    "fork": Fork,
    "view": Look,
    "record": Record,
}


def parse(text: str, num_actions: int) -> Request:
    """The request in a message.

    Raises:
        UserError: there is none, or it asks for what does not exist.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError("a message is not JSON; reload the page") from error
    if not isinstance(data, dict):
        raise UserError("a message is not a JSON object; reload the page")
    kind = data.pop("type", None)
    if kind == "settings":
        change = Change(data)
        change.apply(Settings())  # refuses what no settings allow
        return change
    if not isinstance(kind, str) or kind not in _REQUESTS:
        shown = repr(kind)[:60]
        raise UserError(f"unknown request {shown}; {nearest(shown, [*_REQUESTS, 'settings'])}")
    request = from_dict(_REQUESTS[kind], data, kind)
    if isinstance(request, Action) and request.action is not None and not 0 <= request.action < num_actions:
        raise UserError(f"action is {request.action}; it must lie in [0, {num_actions})")
    return request


class Moment(NamedTuple):
    """What a player sees: a description, and pictures, (H, W, 3) uint8 each, in the order of its ``images``."""

    header: Mapping[str, Any]
    images: list[NDArray[np.uint8]]


def encode(moment: Moment) -> bytes:
    """A moment for the wire: the length of the description (4 bytes, little-endian), it in JSON, the pixels."""
    header = json.dumps(moment.header, allow_nan=False, separators=(",", ":")).encode()
    return b"".join((struct.pack("<I", len(header)), header, *(image.tobytes() for image in moment.images)))
