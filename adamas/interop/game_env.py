"""Real games as Gymnasium environments: the same frames, actions and calls as those of dreams.

    games = adamas.make_env("runs/breakout", num_envs=8)  # the game of a run, as a gymnasium.vector.VectorEnv
    games = adamas.make_env(MinAtarConfig(game="breakout", size=10))
    game = gymnasium.make("adamas.interop.game_env:adamas/Game-v0", game="runs/breakout")

Importing this module registers ``adamas/Game-v0``.
"""

from __future__ import annotations

from pathlib import Path

import gymnasium
import torch

from adamas.core.config import read_run_values
from adamas.core.errors import UserError
from adamas.envs import make
from adamas.envs.config import EnvConfig, read_env
from adamas.interop.gymnasium_env import PixelEnv, PixelVectorEnv


class GameEnvs(PixelVectorEnv):
    """B copies of a real game. Make them with :func:`make_env`, or with ``gymnasium.make_vec``."""

    def __init__(
        self, num_envs: int, game: EnvConfig | Path | str, seed: int = 0, training: bool = False
    ) -> None:
        """Start the games; see :func:`make_env`."""
        self._config, self._training = game_config(game), training
        super().__init__(make.make_env(self._config, num_envs, seed, training), torch.device("cpu"))

    def _seed(self, seed: int | None) -> None:
        if seed is not None:
            self._envs.close()
            self._envs = make.make_env(self._config, self.num_envs, seed, self._training)


class GameEnv(PixelEnv):
    """One real game. Make it with ``gymnasium.make``."""

    def __init__(
        self,
        game: EnvConfig | Path | str,
        seed: int = 0,
        training: bool = False,
        render_mode: str | None = None,
    ) -> None:
        """Start the game; see :func:`make_env`."""
        super().__init__(GameEnvs(1, game, seed, training), render_mode)


def make_env(
    game: EnvConfig | Path | str, num_envs: int = 1, seed: int = 0, training: bool = False
) -> GameEnvs:
    """Make a Gymnasium vector environment of a real game, as agents see it.

    Frames are (H, W, C) uint8; ``agent.act`` accepts them as they are. Rewards are those of the game.

    Args:
        game: the game's configuration, or the folder of a run or checkpoint that was trained on it.
        num_envs: number B of copies.
        seed: determines everything random in them. ``reset(seed=...)`` sets another one.
        training: use the rules of training, in which losing a life ends an episode.

    Raises:
        UserError: there is no such game or folder, or the suite of the game is not installed.
    """
    return GameEnvs(num_envs, game, seed, training)


def game_config(game: EnvConfig | Path | str) -> EnvConfig:
    """The configuration of a game; that of the run or checkpoint if ``game`` is a folder.

    Raises:
        UserError: the folder holds no ``config.yaml``, or its run was trained on recordings.
    """
    if isinstance(game, EnvConfig):
        return game
    file = Path(game) / "config.yaml"
    if not file.is_file():
        raise UserError(f"{game} has no config.yaml; give a run, a checkpoint or a game's configuration")
    run = read_run_values(file)
    if not isinstance(run, dict) or "env" not in run:
        raise UserError(f"{file} names no game; give the configuration of a game")
    if run.get("data") is not None:
        raise UserError(f"{game} was trained on recordings, not on a game; give the configuration of a game")
    return read_env(run["env"], "env")


gymnasium.register(
    "adamas/Game-v0",
    entry_point="adamas.interop.game_env:GameEnv",
    vector_entry_point="adamas.interop.game_env:GameEnvs",
)
