"""Dreams as Gymnasium environments, for any library that trains in those.

    dreams = adamas.make_dream("runs/breakout", num_envs=64, horizon=50)  # a gymnasium.vector.VectorEnv
    dream = gymnasium.make("adamas.interop.dream_env:adamas/Dream-v0", checkpoint="runs/breakout", horizon=50)

Importing this module registers ``adamas/Dream-v0``. ``import adamas`` does not, because that would be slow.
"""

from __future__ import annotations

from pathlib import Path

import gymnasium
from torch import Generator

from adamas.agent import Agent
from adamas.core import runtime
from adamas.core.checks import check_range
from adamas.core.errors import UserError
from adamas.data import EpisodeStore
from adamas.dreaming.imagination import Imagination
from adamas.dreaming.starts import RecordedStarts
from adamas.interop.gymnasium_env import PixelEnv, PixelVectorEnv
from adamas.interop.load import load


class DreamEnvs(PixelVectorEnv):
    """B dreams that are stepped together. Make them with :func:`make_dream`, or with ``gymnasium.make_vec``."""

    def __init__(
        self,
        num_envs: int,
        checkpoint: Agent | Path | str,
        dataset: Path | str | None = None,
        horizon: int = 50,
    ) -> None:
        """Prepare the dreams; see :func:`make_dream`."""
        for name, value in (("num_envs", num_envs), ("horizon", horizon)):
            check_range(name, value, least=1)
        agent = checkpoint if isinstance(checkpoint, Agent) else load(checkpoint)
        device = runtime.device_of(agent)
        starts = RecordedStarts(EpisodeStore.open(_folder(dataset, checkpoint)), agent)
        self._generator = Generator(device)
        dreams = Imagination(
            agent.world_model,
            lambda k: starts.draw(k, self.np_random).to(device),
            num_envs,
            horizon,
            agent.config.obs_shape,
            agent.action_spec,
            self._generator,
            for_people=True,
        )
        super().__init__(dreams, device)

    def _seed(self, seed: int | None) -> None:
        self._generator.manual_seed(int(self.np_random.integers(2**63)))


class DreamEnv(PixelEnv):
    """One dream. Make it with ``gymnasium.make``."""

    def __init__(
        self,
        checkpoint: Agent | Path | str,
        dataset: Path | str | None = None,
        horizon: int = 50,
        render_mode: str | None = None,
    ) -> None:
        """Prepare the dream; see :func:`make_dream`."""
        super().__init__(DreamEnvs(1, checkpoint, dataset, horizon), render_mode)


def make_dream(
    agent_or_path: Agent | Path | str, dataset: Path | str | None = None, num_envs: int = 8, horizon: int = 50
) -> DreamEnvs:
    """Make a Gymnasium vector environment of dreams.

    A dream starts from L real frames, drawn uniformly from the dataset, and ends when the world model predicts the end.
    Rewards are signs: -1, 0 or 1. Frames are (H, W, C) uint8; ``agent.act`` accepts them as they are.

    Args:
        agent_or_path: an agent, or any argument of :func:`adamas.load`.
        dataset: folder of an :class:`~adamas.data.EpisodeStore`. The default is the run's ``dataset/train``, or
            ``dataset/test`` if there is no such folder.
        num_envs: number B of dreams.
        horizon: number of steps after which a dream is truncated.

    Raises:
        UserError: there is no agent or no dataset, the dataset does not fit the agent or is too small, or a number is
            below 1.
    """
    return DreamEnvs(num_envs, agent_or_path, dataset, horizon)


def _folder(dataset: Path | str | None, checkpoint: Agent | Path | str) -> Path:
    if dataset is not None:
        return Path(dataset)
    if isinstance(checkpoint, Agent) or not (Path(checkpoint) / "dataset").is_dir():
        what = "an agent by itself" if isinstance(checkpoint, Agent) else checkpoint
        raise UserError(
            f"{what} has no real frames for dreams to start from; give `dataset`, such as RUN/dataset/train"
        )
    dataset = Path(checkpoint) / "dataset"
    return dataset / "train" if (dataset / "train").is_dir() else dataset / "test"


gymnasium.register(
    "adamas/Dream-v0",
    entry_point="adamas.interop.dream_env:DreamEnv",
    vector_entry_point="adamas.interop.dream_env:DreamEnvs",
)
