"""Configuration of a real environment: the game, and the protocol under which it is played."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from adamas.core.errors import UserError


@dataclass(frozen=True)
class EnvConfig:
    """A real environment.

    Raises:
        UserError: if a value is out of range, or the suite does not have an option that is set.
    """

    suite: Literal["atari", "minatar", "vizdoom", "gymnasium"] = "atari"
    """Library that the game comes from."""

    game: str = "Breakout"
    """Name of the game: Breakout or ms_pacman (atari), breakout (minatar), MyWayHome or the path of a .cfg file of
    your own (vizdoom), or a Gymnasium id such as MyPixels-v0; module:MyPixels-v0 imports the module first
    (gymnasium)."""

    size: int = 64
    """Height of a frame in pixels, and its width unless width is given. The natural size of MinAtar is 10."""

    width: int | None = None
    """Width of a frame in pixels, for frames that are not square (not in minatar). By default, it equals the
    height."""

    frame_skip: int = 4
    """Number of emulator frames for which an action is repeated (atari and vizdoom only). 1 repeats none."""

    noop_max: int = 30
    """Largest number of frames without an action at the start of an episode; the number is drawn at random (atari
    only). 0 skips none."""

    sticky_actions: float | None = None
    """Probability that the previous action is repeated instead of the new one, from 0 to 1. By default, 0 in atari
    and 0.1 in minatar."""

    max_episode_steps: int | None = None
    """Number of steps of the agent after which an episode is truncated. By default, 108,000 emulator frames in atari,
    27,000 steps in minatar, and elsewhere the limit of the environment or 27,000 steps. The actions of an episode are
    kept and played again to resume it, so a high limit costs memory and time."""

    life_loss_ends: bool = True
    """Whether losing a life ends an episode while training, though the game continues (atari only)."""

    frames: Literal["auto", "observation", "render"] = "auto"
    """Where frames come from (gymnasium and vizdoom only). observation: the observation. render: the result of
    render(). auto: render() if the environment draws RGB frames by default; else the observation if it is an RGB
    picture; else render() if it can draw RGB; else an observation that is grey, has its channels first or holds
    floats in [0, 1]. A small RGB observation of small numbers counts as symbols if the environment can be rendered
    instead."""

    frames_key: str | None = None
    """Key of the frames in observations that are dictionaries (gymnasium and vizdoom only). The key a/b means entry b
    of entry a. By default, the only RGB picture in the dictionary."""

    kwargs: str = "{}"
    """Keyword arguments of the environment as a JSON object, such as '{"domain_randomize": true}' (gymnasium and
    vizdoom only)."""

    def __post_init__(self) -> None:
        """Check the values."""
        if not self.game.isprintable():
            raise UserError(f"env.game is {self.game!r}; a name has no line breaks and no control characters")
        minima = {"size": 1, "width": 1, "frame_skip": 1, "noop_max": 0, "max_episode_steps": 1}
        for name, minimum in minima.items():
            value = getattr(self, name)
            if value is not None and value < minimum:
                raise UserError(f"env.{name} is {value}; it must be at least {minimum}")
        if self.sticky_actions is not None and not 0 <= self.sticky_actions <= 1:
            raise UserError(f"env.sticky_actions is {self.sticky_actions}; a probability lies in [0, 1]")
        if self.sticky_actions is not None and self.suite in ("gymnasium", "vizdoom"):
            raise UserError(f"env.sticky_actions does not exist in the {self.suite} suite; leave it out")
        if self.width is not None and self.suite == "minatar":
            raise UserError(
                "env.width does not exist in the minatar suite, whose frames are square; leave it out"
            )
        for name, default in (("frames", "auto"), ("frames_key", None), ("kwargs", "{}")):
            if self.suite in ("atari", "minatar") and getattr(self, name) != default:
                raise UserError(f"env.{name} does not exist in the {self.suite} suite; leave it out")
        if self.frames == "render" and self.frames_key is not None:
            raise UserError(
                "env.frames_key is an entry of the observation, but env.frames is render; leave one out"
            )
        if not isinstance(_json(self.kwargs), dict):
            raise UserError(
                f"env.kwargs is {self.kwargs[:100]!r}; it must be a JSON object, such as "
                "'{\"domain_randomize\": true}'"
            )

    @property
    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of the environment, read from JSON."""
        return dict(_json(self.kwargs))

    @property
    def obs_shape(self) -> tuple[int, int, int]:
        """(3, H, W) of a frame."""
        return 3, self.size, self.size if self.width is None else self.width


def _json(text: str) -> Any:
    """Parse a JSON text; None if it is not valid JSON."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not JSON")
