"""One real game that can go back to a moment, and play on from it as chance would have it another time.

Its frames are those of :func:`~adamas.envs.make.make_env` while evaluating: a lost life does not end an episode.
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
from adamas.core.errors import UserError, nearest
from adamas.core.pixels import area_taps, shrink_area
from adamas.envs.atari import MAX_FRAMES, rom_name
from adamas.envs.config import EnvConfig
from adamas.envs.gymnasium_pixels import GymnasiumEnvs
from adamas.envs.minatar import MinAtarEnvs
from adamas.envs.vector import RealVectorEnv
from adamas.envs.vizdoom import VizdoomEnvs

ONE = np.ones(1, dtype=np.bool_)  # of the one environment of a vector


class GameStep(NamedTuple):
    """What one game answers to an action: its frame, (C, H, W) uint8, the unclipped reward, and how it stands."""

    obs: Tensor
    reward: float
    terminated: bool
    truncated: bool


class BranchingGame(ABC):
    """One real game that can be saved and restored. After its end it must be reset or restored.

    Attributes:
        action_spec: what the agent may do.
    """

    action_spec: ActionSpec

    @abstractmethod
    def reset(self, seed: int) -> Tensor:
        """Start the episode of ``seed``, in [0, 2^31): its first frame, (C, H, W) uint8."""

    @abstractmethod
    def step(self, action: int) -> GameStep:
        """Take an action."""

    @abstractmethod
    def save(self) -> Any:
        """The present moment. Whatever happens in the game later leaves it as it is."""

    @abstractmethod
    def restore(self, saved: Any, seed: int) -> None:
        """Go back to a moment, as often as one likes; what chance does from here on follows from ``seed``.

        Args:
            saved: from this game, or from one that differs in its sticky actions alone.
            seed: in [0, 2^31).
        """

    def close(self) -> None:  # noqa: B027  (most hold nothing)
        """Release what the game holds."""


class AtariGame(BranchingGame):
    """An Atari game, pixel by pixel as :class:`~adamas.envs.atari.AtariEnvs` shows it.

    Actions stick here, not in the emulator, though by the same rule: a saved state of the emulator leaves out
    the action that sticks, and seeding it takes as long as loading the game. Without sticky actions nothing is
    left to chance. The number of do-nothing frames that start an episode is drawn by the same law, but not
    the same for a seed.
    """

    def __init__(self, config: EnvConfig) -> None:
        """Start the emulator. Raises UserError: unknown game, or frames larger than the screen."""
        ALEInterface.setLoggerMode(LoggerMode.Error)
        self._ale = ALEInterface()
        self._ale.setFloat("repeat_action_probability", 0.0)
        self._ale.loadROM(str(roms.get_rom_path(rom_name(config.game))))
        height, width = self._ale.getScreenDims()
        if max(config.obs_shape) > width:
            raise UserError(
                f"env.size is {config.size}; frames larger than {width}, the width of the screen, cannot be "
                "compared with the game: choose an agent of smaller frames"
            )
        self._skip = config.frame_skip
        self._noop_max = config.noop_max
        self._sticky = config.sticky_actions or 0.0
        steps = config.max_episode_steps
        self._max_frames = MAX_FRAMES if steps is None else steps * config.frame_skip
        _, rows, columns = config.obs_shape
        self._rows, self._columns = area_taps(height, rows), area_taps(width, columns)
        self._actions = self._ale.getMinimalActionSet()
        names = tuple(action.name.lower() for action in self._actions)
        self.action_spec = ActionSpec.discrete(names)
        self._screens = np.zeros((2, height, width, 3), dtype=np.uint8)  # the last two of an action
        self._pressed, self._elapsed = Action.NOOP, 0
        self._ale.reset_game()
        self._ale.getScreenRGB(self._screens[0])
        self._start = self.save()

    def reset(self, seed: int) -> Tensor:
        """Start the episode of ``seed``: its first frame."""
        # Some games keep something of the last episode over a reset (Assault), and a state does not hold
        # everything that a reset does (Qbert). The two together are as good as loading the game, which is slow.
        self._ale.reset_game()
        self._go_back(self._start, seed)
        for _ in range(self._rng.integers(max(self._noop_max, 1))):
            self._ale.act(Action.NOOP)
            self._ale.getScreenRGB(self._screens[0])
        return self._frame()

    def step(self, action: int) -> GameStep:
        """Take an action for ``frame_skip`` emulator frames, or until the game ends.

        What those frames showed is taken over only if it goes on: so does the emulator's vector environment.
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
        """The emulator's state, and what it leaves out."""
        return self._ale.cloneState(), self._pressed, self._elapsed, self._screens.copy()

    def restore(self, saved: Any, seed: int) -> None:
        """Go back to a moment; ``seed`` says which actions stick from here on."""
        # Right after a reset Qbert is not what it is once played, whatever state it is given: play one frame first.
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
    """A game in a vector of one environment."""

    def __init__(self, envs: RealVectorEnv) -> None:
        self._envs = envs
        self.action_spec = envs.action_spec

    def reset(self, seed: int) -> Tensor:
        """Start the episode of ``seed``: its first frame."""
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
    """A MinAtar game. Its one generator draws both which actions stick and what else is random in it."""

    def __init__(self, config: EnvConfig) -> None:
        """Make the game. Raises UserError: unknown game, MinAtar not installed, frames too small."""
        envs = MinAtarEnvs(config, 1, seed=0)
        super().__init__(envs)
        self._game, self._steps = envs._games[0], envs._steps

    def save(self) -> Any:
        """The game without its generator, the action that may stick, and the steps so far."""
        return self._copy(self._game.env), self._game.last_action, self._steps[0]

    def restore(self, saved: Any, seed: int) -> None:
        """Go back to a moment; ``seed`` says what chance does from here on."""
        env, self._game.last_action, self._steps[0] = saved
        self._game.env = self._copy(env)
        self._game.random.seed(seed)

    def _copy(self, env: Any) -> Any:
        """``env`` once more, drawing from this game's generator."""
        return copy.deepcopy(env, {id(env.random): self._game.random})


class GymnasiumGame(_OneOfMany):
    """A Gymnasium environment that can be copied. Chance is what it draws from its ``np_random``."""

    def __init__(self, config: EnvConfig) -> None:
        """Make the environment. Raises UserError: as for GymnasiumEnvs, or it cannot be copied."""
        envs = GymnasiumEnvs(config, 1, seed=0)
        super().__init__(envs)
        self._all = envs._envs
        reason = "a copy of it would start anew (EzPickle)"
        try:
            copied = self.save()
        except (TypeError, NotImplementedError, copy.Error) as error:
            copied, reason = None, " ".join(str(error).split())
        if copied is None or isinstance(copied.unwrapped, EzPickle):
            raise UserError(
                f"{config.game} cannot go back to a moment: {reason}; use a game that copy.deepcopy can copy"
            )

    def save(self) -> Any:
        """A copy of the environment."""
        return copy.deepcopy(self._all[0])

    def restore(self, saved: Any, seed: int) -> None:
        """Go back to a moment; ``seed`` says what chance does from here on."""
        self._all[0] = copy.deepcopy(saved)
        self._all[0].unwrapped.np_random = np_random(seed)[0]


class VizdoomGame(_OneOfMany):
    """A scenario of ViZDoom, which cannot be copied but repeats itself: it goes back by playing an episode again.

    All chance in it follows from the episode's seed.
    """

    def __init__(self, config: EnvConfig) -> None:
        """Start the game. Raises UserError: unknown scenario, or ViZDoom is not installed."""
        super().__init__(VizdoomEnvs(config, 1, seed=0))
        self._seed = 0
        self._played: list[int] = []

    def reset(self, seed: int) -> Tensor:
        """Start the episode of ``seed``: its first frame."""
        self._seed, self._played = seed, []
        return super().reset(seed)

    def step(self, action: int) -> GameStep:
        """Take an action."""
        self._played.append(action)
        return super().step(action)

    def save(self) -> Any:
        """The episode's seed, and what was done since."""
        return self._seed, tuple(self._played)

    def restore(self, saved: Any, seed: int) -> None:
        """Go back to a moment; from there on, the same actions have the same effects whatever ``seed`` is."""
        begun, played = saved
        self.reset(begun)
        for action in played:
            self.step(action)


_SUITES: Mapping[str, Callable[[EnvConfig], BranchingGame]] = {
    "atari": AtariGame,
    "minatar": MinAtarGame,
    "vizdoom": VizdoomGame,
    "gymnasium": GymnasiumGame,
}


def make_branching(config: EnvConfig, sticky: bool = True) -> BranchingGame:
    """One game that can go back to a moment, to be started by ``reset``.

    Args:
        config: which game.
        sticky: whether actions stick as ``config`` says; otherwise every action is taken.

    Raises:
        UserError: no such suite or game, a suite that is not installed, or a game that cannot go back.
    """
    if config.suite not in _SUITES:
        raise UserError(f"unknown env.suite {config.suite!r}; {nearest(config.suite, _SUITES)}")
    if not sticky and config.suite in ("atari", "minatar"):
        config = replace(config, sticky_actions=0.0)
    return _SUITES[config.suite](config)
