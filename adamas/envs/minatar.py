"""MinAtar (Young and Tian 2019, arXiv 1903.03176): five tiny games, drawn as RGB frames."""

from __future__ import annotations

import logging
import sys
from typing import Any

import numpy as np

from adamas.core.actions import ActionSpec
from adamas.core.checks import check_range
from adamas.core.errors import UserError, nearest, not_installed
from adamas.core.names import folded
from adamas.envs.config import MinAtarConfig
from adamas.envs.vector import MAX_STEPS, Flags, Frames, Integers, RawStep, RealVectorEnv, say_cut_off

NATIVE_SIZE = 10
ACTION_NAMES = {"n": "noop", "l": "left", "u": "up", "r": "right", "d": "down", "f": "fire"}

BLACK, WHITE = (0, 0, 0), (255, 255, 255)
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
YELLOW, MAGENTA, CYAN = (255, 255, 0), (255, 0, 255), (0, 255, 255)
ORANGE, AZURE, GREY = (255, 128, 0), (0, 128, 255), (128, 128, 128)

# The channels of each game in drawing order: a channel hides those before it. Deadly objects are drawn above the
# player, so that the last frame of an episode shows why it ended. The ball is drawn above bricks, and channels that
# show a direction above those that only show presence. Black, yellow, cyan and magenta differ from each other in two
# of three primary colours, and are used for objects that a model must not confuse.
PALETTES = {
    "asterix": {"trail": CYAN, "player": WHITE, "gold": YELLOW, "enemy": MAGENTA},
    "breakout": {"brick": MAGENTA, "trail": CYAN, "paddle": WHITE, "ball": YELLOW},
    "freeway": {
        "speed1": RED,
        "speed2": GREEN,
        "speed3": BLUE,
        "speed4": CYAN,
        "speed5": MAGENTA,
        "car": YELLOW,
        "chicken": WHITE,
    },
    "seaquest": {
        "oxygen_guage": AZURE,  # divers may hide the end of a full bar, but never of one that is nearly empty
        "diver_guage": GREEN,
        "trail": GREY,
        "diver": BLUE,
        "sub_back": CYAN,
        "sub_front": WHITE,
        "friendly_bullet": YELLOW,
        "enemy_fish": MAGENTA,
        "enemy_sub": RED,
        "enemy_bullet": ORANGE,
    },
    "space_invaders": {
        "cannon": WHITE,
        "alien": GREEN,  # always hidden by one of the next two
        "alien_left": CYAN,
        "alien_right": MAGENTA,
        "friendly_bullet": YELLOW,
        "enemy_bullet": RED,
    },
}


class MinAtarEnvs(RealVectorEnv):
    """B MinAtar games. Actions are the game's minimal action set."""

    def __init__(self, config: MinAtarConfig, num_envs: int, seed: int) -> None:
        """Make the games. Raises UserError if the game is unknown, MinAtar is missing, or frames are too small."""
        game = game_name(config.game)
        check_range("env.size", config.size, least=NATIVE_SIZE)
        environment = import_environment()
        self._games = [environment(game, sticky_action_prob=config.sticky_actions) for _ in range(num_envs)]
        for instance in self._games:
            instance.seed(0)  # makes the game use a single generator for everything random
        inner = self._games[0].env
        self._channels = np.array([inner.channels[name] for name in PALETTES[game]])
        self._colours = np.array([BLACK, *PALETTES[game].values()], dtype=np.uint8)
        self._actions_of_game = inner.minimal_action_set()
        self._game, self._has_limit = config.game, config.max_episode_steps is not None
        self._max_steps = config.max_episode_steps or MAX_STEPS
        self._steps = np.zeros(num_envs, dtype=np.int64)
        names = tuple(ACTION_NAMES[inner.action_map[a]] for a in self._actions_of_game)
        super().__init__(num_envs, seed, ActionSpec.discrete(names), config.obs_shape)

    def _reset_envs(self, mask: Flags, seeds: Integers) -> Frames:
        games = [self._games[i] for i in np.flatnonzero(mask)]
        for game, seed in zip(games, seeds.tolist(), strict=True):
            # The same effect as game.seed(seed), which takes 0.2 ms more for a new generator.
            game.random.seed(seed)
            # Otherwise sticky actions could repeat the last action of the old episode.
            game.last_action = 0
            game.reset()
        self._steps[mask] = 0
        return self._draw(games)

    def _step_envs(self, action: Integers, active: Flags) -> RawStep:
        reward = np.zeros(self.num_envs, dtype=np.float32)
        terminated = np.zeros(self.num_envs, dtype=np.bool_)
        for i in np.flatnonzero(active):
            reward[i], terminated[i] = self._games[i].act(self._actions_of_game[action[i]])
        self._steps += active
        truncated = self._steps >= self._max_steps
        if not self._has_limit and (truncated & active).any():
            say_cut_off(self._game, MAX_STEPS)
        return RawStep(self._draw(self._games), reward, terminated, truncated, np.zeros_like(terminated))

    def _draw(self, games: list[Any]) -> Frames:
        state = np.stack([game.state() for game in games])[..., self._channels]  # (K, 10, 10, C) bool
        return enlarge(paint(state, self._colours), self.obs_shape[1])

    def close(self) -> None:
        """Do nothing: MinAtar holds no resources."""


def game_name(game: str) -> str:
    """Convert any spelling of a game to MinAtar's name: SpaceInvaders, space_invaders -> space_invaders.

    Raises:
        UserError: if there is no such game.
    """
    for name in PALETTES:
        if folded(name) == folded(game):
            return name
    raise UserError(f"unknown MinAtar game {game!r}; {nearest(game, PALETTES)}")


def paint(state: Flags, colours: Frames) -> Frames:
    """Draw each cell in the colour of the last channel that is set in it, or in the background colour if none is.

    Args:
        state: (K, H, W, C) bool, channels in drawing order.
        colours: (1 + C, 3) uint8: the background's, then the channels'.

    Returns:
        (K, 3, H, W) uint8.
    """
    top = np.zeros(state.shape[:3], dtype=np.intp)
    for channel in range(state.shape[3]):
        top[state[..., channel]] = channel + 1
    return np.ascontiguousarray(colours[top].transpose(0, 3, 1, 2))


def enlarge(frames: Frames, size: int) -> Frames:
    """Enlarge (K, 3, 10, 10) to (K, 3, size, size) by the largest integer factor, centred on black."""
    factor = size // NATIVE_SIZE
    width = factor * NATIVE_SIZE
    first = (size - width) // 2
    enlarged = np.zeros((*frames.shape[:2], size, size), dtype=np.uint8)
    inside = slice(first, first + width)
    enlarged[:, :, inside, inside] = frames.repeat(factor, axis=2).repeat(factor, axis=3)
    return enlarged


def import_environment() -> Any:
    """Import MinAtar's ``Environment`` class.

    MinAtar works without seaborn, which only its own window needs. Here that window is never opened, and importing
    seaborn takes longer than everything else at the start of a command. So seaborn is hidden from the import.

    Raises:
        UserError: if MinAtar is not installed.
    """
    root = logging.getLogger()
    root.addFilter(_is_not_about_rendering)
    hide = "seaborn" not in sys.modules
    if hide:
        sys.modules["seaborn"] = None  # type: ignore[assignment]  # makes its import fail
    try:
        from minatar import Environment
    except ModuleNotFoundError as error:
        if error.name != "minatar":
            raise
        raise not_installed("minatar", "minatar") from error
    finally:
        if hide:
            del sys.modules["seaborn"]
        root.removeFilter(_is_not_about_rendering)
    return Environment


def _is_not_about_rendering(record: logging.LogRecord) -> bool:
    """Filter for MinAtar's warning that its own window needs seaborn. The window is not used here."""
    return "seaborn" not in record.getMessage()
