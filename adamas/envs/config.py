"""Which game is played, and under which protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from adamas.core.errors import UserError


@dataclass(frozen=True)
class EnvConfig:
    """A real environment.

    Raises:
        UserError: a value is out of range, or the suite has no such thing.
    """

    suite: Literal["atari", "minatar", "vizdoom", "gymnasium"] = "atari"
    """Where the game comes from."""

    game: str = "Breakout"
    """The game: Breakout or ms_pacman (atari), breakout (minatar), MyWayHome (vizdoom), or a Gymnasium id such as
    MyPixels-v0."""

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
    atari, no limit in minatar, the environment's own limit elsewhere."""

    life_loss_ends: bool = True
    """While training, losing a life counts as an end, though the game goes on (atari only)."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
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

    @property
    def obs_shape(self) -> tuple[int, int, int]:
        """(3, H, W) of a frame."""
        return 3, self.size, self.size if self.width is None else self.width
