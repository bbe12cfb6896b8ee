"""Real games that can be saved and restored, to play several continuations of one state with different random seeds.

Frames are those of :func:`~adamas.envs.make.make_env` in evaluation: a lost life does not end an episode.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from ale_py import Action, ALEInterface, LoggerMode, roms
from gymnasium.utils import EzPickle
from gymnasium.utils.seeding import np_random
from torch import Tensor

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.core.pixels import area_taps, shrink_area
from adamas.envs.atari import rom_name
from adamas.envs.config import AtariConfig, EnvConfig, GymnasiumConfig, MinAtarConfig, VizdoomConfig
from adamas.envs.gymnasium_pixels import GymnasiumEnvs
from adamas.envs.minatar import MinAtarEnvs
from adamas.envs.vector import RealVectorEnv
from adamas.envs.vizdoom import VizdoomEnvs

ONE = np.ones(1, dtype=np.bool_)  # mask of a vector of one environment


class GameStep(NamedTuple):
    """The result of an action in one game: frame (C, H, W) uint8, unclipped reward, and end flags."""

    obs: Tensor
    reward: float
    terminated: bool
    truncated: bool


class BranchingGame(ABC):
    """One real game that can be saved and restored. After its end it must be reset or restored.

    Attributes:
        action_spec: the action space.
    """

    action_spec: ActionSpec

    @abstractmethod
    def reset(self, seed: int) -> Tensor:
        """Start an episode with ``seed``, in [0, 2^31), and return its first frame, (C, H, W) uint8."""

    @abstractmethod
    def step(self, action: int) -> GameStep:
        """Take an action."""

    @abstractmethod
    def save(self) -> Any:
        """Return a copy of the current state. Later steps do not change it."""

    @abstractmethod
    def restore(self, saved: Any, seed: int) -> None:
        """Go back to a saved state, and continue from it with new randomness. A state can be restored many times.

        Args:
            saved: from this game, or from one that differs only in its sticky actions.
            seed: determines everything random from here on; in [0, 2^31).
        """

    def close(self) -> None:  # noqa: B027  (most games hold no resources)
        """Release what the game holds."""


class AtariGame(BranchingGame):
    """An Atari game, with the same pixels as :class:`~adamas.envs.atari.AtariEnvs`.

    Sticky actions are implemented here, by the same rule as in the emulator, because the emulator's saved state does
    not contain the previous action, and seeding the emulator takes as long as loading the game. Without sticky actions
    the game is deterministic. The number of no-op frames at the start of an episode has the same distribution as in
    AtariEnvs, but another value for the same seed.
    """

    def __init__(self, config: AtariConfig) -> None:
        """Start the emulator. Raises UserError if the game is unknown or frames are larger than the screen."""
        ALEInterface.setLoggerMode(LoggerMode.Error)
        self._ale = ALEInterface()
        self._ale.setFloat("repeat_action_probability", 0.0)
        self._ale.loadROM(str(roms.get_rom_path(rom_name(config.game))))
        height, width = self._ale.getScreenDims()
        _, rows, columns = config.obs_shape
        side = "size" if config.width is None else "width"
        for name, pixels, most in (("size", rows, height), (side, columns, width)):
            if pixels > most:
                raise UserError(
                    f"`env.{name}` is {pixels}; frames larger than the screen, {most} pixels here, cannot be "
                    "compared with the game: choose an agent with smaller frames"
                )
        self._skip = config.frame_skip
        self._noop_max = config.noop_max
        self._sticky = config.sticky_actions
        self._max_frames = config.max_frames
        self._rows, self._columns = area_taps(height, rows), area_taps(width, columns)
        self._actions = self._ale.getMinimalActionSet()
        names = tuple(action.name.lower() for action in self._actions)
        self.action_spec = ActionSpec.discrete(names)
        self._screens = np.zeros((2, height, width, 3), dtype=np.uint8)  # the last two frames of an action
        self._pressed, self._elapsed = Action.NOOP, 0
        self._ale.reset_game()
        self._ale.getScreenRGB(self._screens[0])
        self._start = self.save()

    def reset(self, seed: int) -> Tensor:
        """Start an episode with ``seed``, and return its first frame."""
        # A reset keeps some state of the last episode in some games (Assault), and a saved state misses some of what
        # a reset does (Qbert). Both together have the effect of loading the game, which would be slow.
        self._ale.reset_game()
        self._go_back(self._start, seed)
        for _ in range(self._rng.integers(max(self._noop_max, 1))):
            self._ale.act(Action.NOOP)
            self._ale.getScreenRGB(self._screens[0])
        return self._frame()

    def step(self, action: int) -> GameStep:
        """Take an action for ``frame_skip`` emulator frames, or until the game ends.

        The screens are read only if the game goes on, as in the emulator's vector environment.
        """
        reward, terminated, truncated = 0.0, False, False
        for left in reversed(range(self._skip)):
            if self._rng.random() >= self._sticky:
                self._pressed = self._actions[action]
            reward += self._ale.act(self._pressed)
            self._elapsed += 1
            terminated = self._ale.game_over()
            truncated = self._elapsed >= self._max_frames and not terminated
            if terminated or truncated:
                break
            if left < 2:
                self._ale.getScreenRGB(self._screens[left])
        return GameStep(self._frame(), reward, terminated, truncated)

    def save(self) -> Any:
        """Return the emulator's state, and the previous action, elapsed frames and screens, which it lacks."""
        return self._ale.cloneState(), self._pressed, self._elapsed, self._screens.copy()

    def restore(self, saved: Any, seed: int) -> None:
        """Go back to a saved state; ``seed`` determines which actions stick from here on."""
        # Right after a reset, Qbert does not restore a state completely. One frame must be played first.
        self._ale.act(Action.NOOP)
        self._go_back(saved, seed)

    def _go_back(self, saved: Any, seed: int) -> None:
        state, self._pressed, self._elapsed, screens = saved
        self._ale.restoreState(state)
        self._screens[:] = screens
        self._rng = np.random.default_rng(seed)

    def _frame(self) -> Tensor:
        if self._skip > 1:
            np.maximum(self._screens[0], self._screens[1], out=self._screens[0])
        return torch.from_numpy(shrink_area(self._screens[0], self._rows, self._columns))


class _OneOfMany(BranchingGame):
    """Base class of games that run in a vector of one environment."""

    def __init__(self, envs: RealVectorEnv) -> None:
        self._envs = envs
        self.action_spec = envs.action_spec

    def reset(self, seed: int) -> Tensor:
        """Start an episode with ``seed``, and return its first frame."""
        return torch.from_numpy(self._envs._reset_envs(ONE, np.array([seed]))[0])

    def step(self, action: int) -> GameStep:
        """Take an action."""
        raw = self._envs._step_envs(np.array([action]), ONE)
        return GameStep(
            torch.from_numpy(raw.obs[0]),
            float(raw.reward[0]),
            bool(raw.terminated[0]),
            bool(raw.truncated[0]),
        )

    def close(self) -> None:
        """Close the environment."""
        self._envs.close()


class MinAtarGame(_OneOfMany):
    """A MinAtar game. It has a single generator, which draws sticky actions and everything else that is random."""

    def __init__(self, config: MinAtarConfig) -> None:
        """Make the game. Raises UserError if the game is unknown, MinAtar is missing, or frames are too small."""
        envs = MinAtarEnvs(config, 1, seed=0)
        super().__init__(envs)
        self._game, self._steps = envs._games[0], envs._steps

    def save(self) -> Any:
        """Return the game without its generator, the previous action, and the number of steps so far."""
        return self._copy(self._game.env), self._game.last_action, self._steps[0]

    def restore(self, saved: Any, seed: int) -> None:
        """Go back to a saved state; ``seed`` determines everything random from here on."""
        env, self._game.last_action, self._steps[0] = saved
        self._game.env = self._copy(env)
        self._game.random.seed(seed)

    def _copy(self, env: Any) -> Any:
        """Copy ``env``, but share this game's generator with the copy."""
        return copy.deepcopy(env, {id(env.random): self._game.random})


class GymnasiumGame(_OneOfMany):
    """A Gymnasium environment that can be copied. Everything random in it must come from its ``np_random``."""

    def __init__(self, config: GymnasiumConfig) -> None:
        """Make the environment. Raises UserError as GymnasiumEnvs does, or if it cannot be copied."""
        envs = GymnasiumEnvs(config, 1, seed=0)
        super().__init__(envs)
        self._all, self._steps = envs._envs, envs._steps
        reason = "its copies start a new episode (EzPickle)"
        try:
            copied, _ = self.save()
        except (TypeError, NotImplementedError, copy.Error) as error:
            copied, reason = None, " ".join(str(error).split())
        if copied is None or isinstance(copied.unwrapped, EzPickle):
            raise UserError(
                f"{config.game} cannot be saved and restored: {reason}; use a game that copy.deepcopy can copy"
            )

    def save(self) -> Any:
        """Return a copy of the environment, and the number of steps so far."""
        return copy.deepcopy(self._all[0]), self._steps[0]

    def restore(self, saved: Any, seed: int) -> None:
        """Go back to a saved state; ``seed`` determines everything random from here on."""
        env, self._steps[0] = saved
        self._all[0] = copy.deepcopy(env)
        self._all[0].unwrapped.np_random = np_random(seed)[0]


class VizdoomGame(_OneOfMany):
    """A scenario of ViZDoom. It cannot be copied, so its saved state is a seed and actions, which are replayed.

    The seed of the episode determines everything random in it.
    """

    def __init__(self, config: VizdoomConfig) -> None:
        """Start the game. Raises UserError if the scenario is unknown or ViZDoom is not installed."""
        super().__init__(VizdoomEnvs(config, 1, seed=0))
        self._seed = 0
        self._played: list[int] = []

    def reset(self, seed: int) -> Tensor:
        """Start an episode with ``seed``, and return its first frame."""
        self._seed, self._played = seed, []
        return super().reset(seed)

    def step(self, action: int) -> GameStep:
        """Take an action."""
        self._played.append(action)
        return super().step(action)

    def save(self) -> Any:
        """Return the seed of the episode and the actions taken since its start."""
        return self._seed, tuple(self._played)

    def restore(self, saved: Any, seed: int) -> None:
        """Go back to a saved state. ``seed`` has no effect: the same actions always lead to the same frames."""
        begun, played = saved
        self.reset(begun)
        for action in played:
            self.step(action)


_SUITES: Mapping[type, Callable[[Any], BranchingGame]] = {
    AtariConfig: AtariGame,
    MinAtarConfig: MinAtarGame,
    VizdoomConfig: VizdoomGame,
    GymnasiumConfig: GymnasiumGame,
}


def make_branching(config: EnvConfig, sticky: bool = True) -> BranchingGame:
    """Make a game that can be saved and restored. Call ``reset`` before the first step.

    Args:
        config: the game and its options.
        sticky: whether to keep the sticky actions of ``config``; otherwise every action is executed.

    Raises:
        UserError: if the game is unknown or not installed, or the game cannot be saved.
    """
    if not sticky and isinstance(config, AtariConfig | MinAtarConfig):
        config = replace(config, sticky_actions=0.0)
    return _SUITES[type(config)](config)
