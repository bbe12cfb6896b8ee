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
    """Where the game comes from."""

    game: str = "Breakout"
    """The game: Breakout or ms_pacman (atari), breakout (minatar), MyWayHome or the path of a .cfg file of your own
    (vizdoom), or a Gymnasium id such as MyPixels-v0; module:MyPixels-v0 imports the module first (gymnasium)."""

    size: int = 64
    """Height of a frame in pixels, and its width unless that is given. MinAtar's own size is 10."""

    width: int | None = None
    """Width of a frame in pixels, where frames are not square (not minatar)."""

    frame_skip: int = 4
    """Emulator frames that an action lasts (atari and vizdoom only)."""

    noop_max: int = 30
    """At most so many random do-nothing frames start an episode (atari only)."""

    sticky_actions: float | None = None
    """Probability that the previous action is repeated instead. None: 0 in atari, 0.1 in minatar."""

    max_episode_steps: int | None = None
    """Steps of the agent after which an episode is cut off (truncated). None: 108,000 emulator frames in
    atari, 27,000 steps in minatar, elsewhere the environment's own limit or, where it has none, 27,000 steps. The
    actions of an episode are kept and played again to resume it, so a high limit costs memory and time."""

    life_loss_ends: bool = True
    """While training, losing a life counts as an end, though the game goes on (atari only)."""

    frames: Literal["auto", "observation", "render"] = "auto"
    """Where frames come from (gymnasium and vizdoom only): the observation, or what the environment renders. auto takes
    render() if the environment draws RGB without being asked to; else the observation if it is an RGB picture; else
    render() if it can draw RGB; else an observation that is grey, has its channels first or holds floats in [0, 1]. A
    small RGB observation of small numbers is taken for symbols if the environment can be rendered instead."""

    frames_key: str | None = None
    """The entry of a dictionary of observations that holds the frames (gymnasium and vizdoom only); a/b is the entry b
    of the entry a. None: the only RGB picture in it."""

    kwargs: str = "{}"
    """Keyword arguments of the environment as JSON, such as '{"domain_randomize": true}' (gymnasium and vizdoom
    only)."""

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
