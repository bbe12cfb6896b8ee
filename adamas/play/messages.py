"""The requests that a player's page sends, each a JSON message that is parsed into one of the classes below."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from adamas.core.checks import check_range
from adamas.core.config import from_dict, to_dict
from adamas.core.errors import UserError, nearest
from adamas.diffusion.samplers import SamplerName
from adamas.envs.config import EnvConfig
from adamas.world_models.base import WorldModel

MAX_MESSAGE = 512  # bytes
LIMITS: Mapping[str, tuple[float, float]] = {
    "fps": (1, 60),
    "denoising_steps": (1, 50),
    "horizon": (0, 100_000),
    "temperature": (0, 5),
}

DEFAULT_FPS = 15.0
HUMAN_FPS: Mapping[str, float] = {"minatar": 5.0}  # by suite of games; all others are played at DEFAULT_FPS

View = Literal["dream", "both", "real"]
Actor = Literal["human", "agent"]


@dataclass(frozen=True)
class Settings:
    """Settings of a player's worlds."""

    fps: float = DEFAULT_FPS
    """Steps a second, at most; a slow machine takes fewer."""
    denoising_steps: int = 3
    """Number N of denoising steps for a frame."""
    method: SamplerName = "euler"
    """Sampler that draws a frame."""
    horizon: int = 0
    """Steps after which a dream ends; 0 sets no limit."""
    temperature: float = 1.0
    """Temperature of the policy; 0 always takes the most probable action."""
    strip: bool = False
    """Also send the denoising steps of every frame."""
    training: bool = False
    """Play the real game by the rules of training, in which losing a life ends an episode."""

    def __post_init__(self) -> None:
        for name, (low, high) in LIMITS.items():
            check_range(name, getattr(self, name), least=low, most=high)

    def world_model(self, own: WorldModel) -> WorldModel:
        """The agent's own world model, with the denoising steps and the method of these settings if it has any.

        Raises:
            UserError: it cannot draw frames in this way.
        """
        return own if own.sampler is None else own.with_denoising(self.denoising_steps, self.method)


@dataclass(frozen=True)
class Action:
    """Hold an action until the next such request. None releases all keys. ``seq`` numbers these requests."""

    action: int | None
    seq: int = 0


@dataclass(frozen=True)
class Control:
    """Choose who acts, the player or the agent."""

    who: Actor


@dataclass(frozen=True)
class Pause:
    """Pause the worlds, or resume them."""

    paused: bool


@dataclass(frozen=True)
class Step:
    """Take one step while paused."""


@dataclass(frozen=True)
class Reset:
    """Start a new episode in all worlds."""


@dataclass(frozen=True)
class Fork:
    """Start a new dream from the last frames of the game beside it."""


@dataclass(frozen=True)
class ChangeView:
    """Show the dream, the real game, or both with the same actions."""

    view: View


@dataclass(frozen=True)
class ChangeSettings:
    """Change some of the settings."""

    values: Mapping[str, Any]

    def apply(self, settings: Settings) -> Settings:
        """Return ``settings`` with the changes. Raises UserError for an unknown name or a value out of range."""
        return from_dict(Settings, {**to_dict(settings), **self.values}, "settings")


@dataclass(frozen=True)
class Record:
    """Start or stop recording."""

    on: bool


Request = Action | Control | Pause | Step | Reset | Fork | ChangeView | ChangeSettings | Record

_REQUESTS: Mapping[str, type[Request]] = {
    "action": Action,
    "control": Control,
    "pause": Pause,
    "step": Step,
    "reset": Reset,
    "fork": Fork,
    "view": ChangeView,
    "record": Record,
}


def parse(text: str, num_actions: int) -> Request:
    """Parse a message of a page.

    Raises:
        UserError: the message is not a valid request, or its action does not exist.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError("a message is not JSON; reload the page") from error
    if not isinstance(data, dict):
        raise UserError("a message is not a JSON object; reload the page")
    kind = data.pop("type", None)
    if kind == "settings":
        change = ChangeSettings(data)
        change.apply(Settings())  # raises UserError for values that are never allowed
        return change
    if not isinstance(kind, str) or kind not in _REQUESTS:
        shown = repr(kind)[:60]
        raise UserError(f"unknown request {shown}; {nearest(shown, [*_REQUESTS, 'settings'])}")
    request = from_dict(_REQUESTS[kind], data, kind)
    if isinstance(request, Action):
        check_range("action", request.action, least=0, below=num_actions)
    return request


def human_fps(game: EnvConfig | None) -> float:
    """Steps per second at which a person can play a game. None stands for a dream of recordings."""
    return DEFAULT_FPS if game is None else HUMAN_FPS.get(game.suite, DEFAULT_FPS)
