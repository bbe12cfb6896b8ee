"""MinAtar (Young and Tian 2019, arXiv 1903.03176): five tiny games, drawn in colour."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError, nearest, require
from adamas.envs.config import EnvConfig
from adamas.envs.vector import MAX_STEPS, Flags, Frames, Integers, RawStep, RealVectorEnv, say_cut_off

NATIVE_SIZE = 10
ACTION_NAMES = {"n": "noop", "l": "left", "u": "up", "r": "right", "d": "down", "f": "fire"}

BLACK, WHITE = (0, 0, 0), (255, 255, 255)
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
YELLOW, MAGENTA, CYAN = (255, 255, 0), (255, 0, 255), (0, 255, 255)
ORANGE, AZURE, GREY = (255, 128, 0), (0, 128, 255), (128, 128, 128)

# The channels of each game from the bottom to the top: a channel hides those before it. What kills lies above
# the player, so that the last frame of an episode shows why it is the last. The ball lies above bricks, and
# what says where something is heading above what says only that it is there. Black, yellow, cyan and magenta
# differ from each other in two of three primary colours: they go to what a model must not confuse.
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
        "oxygen_guage": AZURE,  # divers hide the end of a full bar, never of one that runs out
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
        "alien": GREEN,  # always under one of the next two
        "alien_left": CYAN,
        "alien_right": MAGENTA,
        "friendly_bullet": YELLOW,
        "enemy_bullet": RED,
    },
}


class MinAtarEnvs(RealVectorEnv):
    """B MinAtar games, played with the actions that have an effect in the game."""

    def __init__(self, config: EnvConfig, num_envs: int, seed: int) -> None:
        """Make the games. Raises UserError: unknown game, MinAtar not installed, frames too small."""
        game = game_name(config.game)
        if config.size < NATIVE_SIZE:
            raise UserError(f"env.size is {config.size}; MinAtar needs at least {NATIVE_SIZE}")
        sticky = 0.1 if config.sticky_actions is None else config.sticky_actions
        environment = import_environment()
        self._games = [environment(game, sticky_action_prob=sticky) for _ in range(num_envs)]
        for one in self._games:
            one.seed(0)  # from here on one generator draws everything in the game
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
            game.random.seed(seed)  # what game.seed(seed) gives, without its 0.2 ms for a new generator
            game.last_action = 0  # MinAtar would let the last episode's action stick to this one
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
        """Nothing is held."""


def game_name(game: str) -> str:
    """MinAtar's name of a game, written in any way: SpaceInvaders, space_invaders -> space_invaders.

    Raises:
        UserError: no such game.
    """
    for name in PALETTES:
        if name.replace("_", "") == "".join(filter(str.isalnum, game)).lower():
            return name
    raise UserError(f"unknown MinAtar game {game!r}; {nearest(game, PALETTES)}")


def paint(state: Flags, colours: Frames) -> Frames:
    """Draw the last of the channels that are set in a cell; where none is, the background.

    Args:
        state: (K, H, W, C), from the bottom channel to the top one.
        colours: (1 + C, 3): the background's, then the channels'.

    Returns:
        (K, 3, H, W) uint8.
    """
    top = np.zeros(state.shape[:3], dtype=np.intp)
    for channel in range(state.shape[3]):
        top[state[..., channel]] = channel + 1
    return np.ascontiguousarray(colours[top].transpose(0, 3, 1, 2))


def enlarge(frames: Frames, size: int) -> Frames:
    """(K, 3, 10, 10) to (K, 3, size, size): whole multiples of a pixel, centred, the rest black."""
    factor = size // NATIVE_SIZE
    width = factor * NATIVE_SIZE
    first = (size - width) // 2
    enlarged = np.zeros((*frames.shape[:2], size, size), dtype=np.uint8)
    inside = slice(first, first + width)
    enlarged[:, :, inside, inside] = frames.repeat(factor, axis=2).repeat(factor, axis=3)
    return enlarged


def import_environment() -> Any:
    """MinAtar's ``Environment`` class; imported here because it takes seconds.

    Raises:
        UserError: MinAtar is not installed.
    """
    root = logging.getLogger()
    root.addFilter(_is_not_about_rendering)
    try:
        from minatar import Environment
    except ModuleNotFoundError as error:
        if error.name != "minatar":
            raise
        raise require("minatar", "minatar") from error
    finally:
        root.removeFilter(_is_not_about_rendering)
    return Environment


def _is_not_about_rendering(record: logging.LogRecord) -> bool:
    """MinAtar warns that its own window will not work without seaborn; nobody here opens it."""
    return "seaborn" not in record.getMessage()
