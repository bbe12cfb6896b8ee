"""Atari 2600 games, on the vectorised environment of the Arcade Learning Environment (ALE)."""

from __future__ import annotations

import os

import ale_py
import gymnasium
import numpy as np
from ale_py.vector_env import AtariVectorEnv

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError, nearest
from adamas.core.names import folded
from adamas.envs.config import AtariConfig
from adamas.envs.vector import Flags, Frames, Integers, RawStep, RealVectorEnv


def rom_name(game: str) -> str:
    """Convert any spelling of a game to the emulator's name: MsPacman, ms_pacman, mspacman -> ms_pacman.

    Raises:
        UserError: if there is no such game.
    """
    gymnasium.register_envs(ale_py)
    # Some ROMs in the emulator's package are for several players. Gymnasium registers those for one player.
    specs = [spec for spec in gymnasium.registry.values() if spec.namespace == "ALE"]
    games = {spec.name: spec.kwargs["game"] for spec in specs}
    wanted = folded(game)
    for name, rom in games.items():
        if name.lower() == wanted:
            return str(rom)
    raise UserError(f"unknown Atari game {game!r}; {nearest(game, games)}")


class AtariEnvs(RealVectorEnv):
    """B Atari games in RGB: the maximum of the last two frames of a repeated action, downscaled by area averaging.

    Rewards are the unclipped changes of the score. Actions are the game's minimal action set.
    """

    def __init__(self, config: AtariConfig, num_envs: int, seed: int) -> None:
        """Start the emulators. Raises UserError if the game is unknown."""
        self._ale = AtariVectorEnv(
            rom_name(config.game),
            num_envs,
            num_threads=min(num_envs, os.cpu_count() or 1),
            max_num_frames_per_episode=config.max_frames,
            repeat_action_probability=config.sticky_actions,
            img_height=config.size,
            img_width=config.obs_shape[2],
            grayscale=False,
            stack_num=1,
            frameskip=config.frame_skip,
            maxpool=config.frame_skip > 1,
            noop_max=config.noop_max,
            # With episodic_life, the emulator would start a new game. Lives are counted here instead.
            episodic_life=False,
            reward_clipping=False,
            use_fire_reset=False,
        )
        self._life_loss_ends = config.life_loss_ends
        self._lives = np.zeros(num_envs, dtype=np.int64)
        names = tuple(action.name.lower() for action in self._ale.ale.get_action_set())
        super().__init__(num_envs, seed, ActionSpec.discrete(names), config.obs_shape)

    def _reset_envs(self, mask: Flags, seeds: Integers) -> Frames:
        obs, info = self._ale.reset(seed=seeds, options={"reset_mask": mask})  # (B, 1, H, W, 3)
        self._lives[mask] = info["lives"][mask]
        return channels_first(obs)[mask]

    def _step_envs(self, action: Integers, active: Flags) -> RawStep:
        obs, reward, terminated, truncated, info = self._ale.step(action)
        lost_life = (info["lives"] < self._lives) & self._life_loss_ends
        self._lives[:] = info["lives"]
        return RawStep(channels_first(obs), reward.astype(np.float32), terminated, truncated, lost_life)

    def close(self) -> None:
        """Stop the emulator's threads."""
        self._ale.close()


def channels_first(obs: Frames) -> Frames:
    """Convert (B, 1, H, W, 3) to (B, 3, H, W), as a copy, because the emulator reuses its buffer."""
    return obs[:, 0].transpose(0, 3, 1, 2).copy()
