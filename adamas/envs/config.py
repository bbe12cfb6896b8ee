"""Configurations of real environments: the game and its protocol, in a dataclass for each suite of games."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias, cast

from adamas.core.checks import check_range
from adamas.core.config import from_dict
from adamas.core.errors import UserError

_WITHOUT_EFFECT = frozenset({"frame_skip", "noop_max", "life_loss_ends"})
_UNSET = {"width": None, "sticky_actions": None, "frames": "auto", "frames_key": None, "kwargs": "{}"}
# Before version 0.2, one dataclass held the fields of all suites. Fields of other suites in its files are left out if
# they had no effect or are unset.

MAX_FRAMES = 108_000
"""Longest episode of the usual protocol of Atari, in emulator frames: 30 minutes of play."""


@dataclass(frozen=True, kw_only=True)
class SuiteConfig:
    """What all suites of games have in common.

    Raises:
        UserError: a value is out of range.
    """

    suite: str
    """Library that the game comes from."""
    game: str
    """Name of the game."""
    size: int = 64
    """Height of a frame in pixels, and its width unless width is given."""
    max_episode_steps: int | None = None
    """Number of steps of the agent after which an episode is truncated. By default, the limit of the environment, or
    27,000 steps where it has none. The actions of an episode are kept and played again to resume it, so a high limit
    costs memory and time."""

    def __post_init__(self) -> None:
        """Check the values."""
        if not self.game.isprintable():
            raise UserError(
                f"`env.game` is {self.game!r}; a name has no line breaks and no control characters"
            )
        minima = {"size": 1, "width": 1, "frame_skip": 1, "noop_max": 0, "max_episode_steps": 1}
        for name, minimum in minima.items():
            check_range(f"env.{name}", getattr(self, name, None), least=minimum)
        check_range("env.sticky_actions", getattr(self, "sticky_actions", None), least=0, most=1)

    @property
    def obs_shape(self) -> tuple[int, int, int]:
        """(3, H, W) of a frame."""
        width: int | None = getattr(self, "width", None)
        return 3, self.size, self.size if width is None else width

    @classmethod
    def upgrade(cls, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """The fields of a file without those of other suites, which files from before version 0.2 hold as well."""
        known = {field.name for field in fields(cls)}
        kept = {
            key: value
            for key, value in data.items()
            if key in known or not (key in _WITHOUT_EFFECT or (key in _UNSET and value == _UNSET[key]))
        }
        if kept.get("sticky_actions", 0.0) is None:  # it meant the default of the suite
            del kept["sticky_actions"]
        return kept


@dataclass(frozen=True, kw_only=True)
class AtariConfig(SuiteConfig):
    """An Atari 2600 game (suite atari). Needs nothing but Adamas."""

    suite: Literal["atari"] = "atari"
    """Library that the game comes from: atari, minatar, vizdoom or gymnasium."""
    game: str = "Breakout"
    """Name of the game, in any spelling: MsPacman or ms_pacman."""
    size: int = 64
    """Height of a frame in pixels, and its width unless width is given."""
    width: int | None = None
    """Width of a frame in pixels, for frames that are not square. By default, it equals the height."""
    frame_skip: int = 4
    """Number of emulator frames for which an action is repeated. 1 repeats none."""
    noop_max: int = 30
    """Number of possible counts of no-op frames at the start of an episode: from 0 to noop_max - 1, drawn at random. 0
    and 1 start without any."""
    sticky_actions: float = 0.0
    """Probability that the previous action is repeated instead of the new one, from 0 to 1."""
    max_episode_steps: int | None = None
    """Number of steps of the agent after which an episode is truncated. By default, 108,000 emulator
    frames, which are 27,000 steps at a frame_skip of 4. The actions of an episode are kept and played again to resume
    it, so a high limit costs memory and time."""
    life_loss_ends: bool = True
    """Whether losing a life counts as the end of an episode in training, though the game continues."""

    @property
    def max_frames(self) -> int:
        """Number of emulator frames after which an episode is truncated."""
        return MAX_FRAMES if self.max_episode_steps is None else self.max_episode_steps * self.frame_skip


@dataclass(frozen=True, kw_only=True)
class MinAtarConfig(SuiteConfig):
    """A MinAtar game (suite minatar). Needs: pip install 'adamas[minatar]'."""

    suite: Literal["minatar"] = "minatar"
    """Library that the game comes from: atari, minatar, vizdoom or gymnasium."""
    game: str = "breakout"
    """Name of the game: asterix, breakout, freeway, seaquest or space_invaders."""
    size: int = 64
    """Height and width of a frame in pixels. The games' own size is 10."""
    sticky_actions: float = 0.1
    """Probability that the previous action is repeated instead of the new one, from 0 to 1."""
    max_episode_steps: int | None = None
    """Number of steps of the agent after which an episode is truncated. By default, 27,000. The actions of an episode
    are kept and played again to resume it, so a high limit costs memory and time."""


@dataclass(frozen=True, kw_only=True)
class _RenderedConfig(SuiteConfig):
    """What suites of environments that draw their frames in different ways have in common."""

    def __post_init__(self) -> None:
        """Check that the fields are consistent.

        Raises:
            UserError: saying what does not fit.
        """
        super().__post_init__()
        if self.frames == "render" and self.frames_key is not None:
            raise UserError(
                "`env.frames_key` is an entry of the observation, but `env.frames` is render; leave one out"
            )
        if not isinstance(_json(self.kwargs), dict):
            raise UserError(
                f"`env.kwargs` is {self.kwargs[:100]!r}; it must be a JSON object, such as "
                "'{\"domain_randomize\": true}'"
            )

    width: int | None = None
    """Width of a frame in pixels, for frames that are not square. By default, it equals the height."""
    frames: Literal["auto", "observation", "render"] = "auto"
    """Where frames come from. observation: the observation. render: the result of render(). auto: render() if the
    environment draws RGB frames by default; else the observation if it is an RGB picture; else render() if it can draw
    RGB; else an observation that is grey, has its channels first or holds floats in [0, 1]. An RGB observation whose
    values are all small is taken for symbols, and is skipped if the environment can be rendered."""
    frames_key: str | None = None
    """Key of the frames in observations that are dictionaries. The key a/b means entry b of entry a. By default, the
    only RGB picture in the dictionary."""
    kwargs: str = "{}"
    """Keyword arguments of the environment as a JSON object, such as '{"domain_randomize": true}'."""

    @property
    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of the environment: numbers, booleans, text, None, and lists and dicts of these."""
        return dict(_json(self.kwargs))


@dataclass(frozen=True, kw_only=True)
class VizdoomConfig(_RenderedConfig):
    """A scenario of ViZDoom (suite vizdoom). Needs: pip install 'adamas[vizdoom]'."""

    suite: Literal["vizdoom"] = "vizdoom"
    """Library that the game comes from: atari, minatar, vizdoom or gymnasium."""
    game: str = "MyWayHome"
    """Name of the scenario, such as MyWayHome, or the path of a .cfg file of your own."""
    frame_skip: int = 4
    """Number of game tics for which an action is repeated. 1 repeats none."""


@dataclass(frozen=True, kw_only=True)
class GymnasiumConfig(_RenderedConfig):
    """Any registered Gymnasium environment, seen through its pixels (suite gymnasium)."""

    suite: Literal["gymnasium"] = "gymnasium"
    """Library that the game comes from: atari, minatar, vizdoom or gymnasium."""
    game: str = "CarRacing-v3"
    """Gymnasium id, such as MyPixels-v0; module:MyPixels-v0 imports the module first."""


EnvConfig: TypeAlias = AtariConfig | MinAtarConfig | VizdoomConfig | GymnasiumConfig
"""A real environment: the dataclass of its suite."""

RenderedConfig: TypeAlias = VizdoomConfig | GymnasiumConfig
"""An environment that draws its frames in one of several ways."""


def read_env(data: Mapping[str, Any], where: str = "") -> EnvConfig:
    """Build the configuration of the suite that ``data["suite"]`` selects.

    Args:
        data: the fields, ``suite`` among them; without it the suite is atari.
        where: dotted key of ``data`` within the whole configuration, for error messages.

    Raises:
        UserError: as :func:`~adamas.core.config.from_dict`.
    """
    return cast(EnvConfig, from_dict(cast(Any, EnvConfig), data, where))


def _json(text: str) -> Any:
    """The value of a JSON text; None if it is not JSON."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not JSON")
