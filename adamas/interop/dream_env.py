"""Dreams as Gymnasium environments: a trained world model for any library that learns in those.

    dreams = adamas.make_dream("runs/breakout", num_envs=64, horizon=50)  # a gymnasium.vector.VectorEnv
    dream = gymnasium.make("adamas.interop.dream_env:adamas/Dream-v0", checkpoint="runs/breakout", horizon=50)

Importing this module registers ``adamas/Dream-v0``. ``import adamas`` does not: it would take ten times as long.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from torch import Generator, Tensor

from adamas.agent import Agent
from adamas.core import runtime
from adamas.core.errors import UserError
from adamas.core.types import Batch
from adamas.data import EpisodeStore
from adamas.dreaming.imagination import Imagination
from adamas.dreaming.starts import RecordedStarts
from adamas.envs.spaces import from_space, space_of
from adamas.interop.load import load

Frames = NDArray[np.uint8]


class DreamEnvs(VectorEnv[Frames, Any, NDArray[Any]]):
    """B dreams, stepped together, that restart within the step in which they end (``AutoresetMode.SAME_STEP``).

    Make them with :func:`make_dream`, or with ``gymnasium.make_vec``.
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012  (declared by Gymnasium)

    def __init__(
        self,
        num_envs: int,
        checkpoint: Agent | Path | str,
        dataset: Path | str | None = None,
        horizon: int = 50,
    ) -> None:
        """Prepare the dreams; see :func:`make_dream`."""
        for name, value in (("num_envs", num_envs), ("horizon", horizon)):
            if value < 1:
                raise UserError(f"{name} is {value}; it must be at least 1")
        agent = checkpoint if isinstance(checkpoint, Agent) else load(checkpoint)
        store = EpisodeStore.open(_folder(dataset, checkpoint))
        self._starts = RecordedStarts(store, agent)
        self._dreams = Imagination(
            agent.world_model,
            self._contexts,
            num_envs,
            horizon,
            agent.config.obs_shape,
            agent.action_spec,
            Generator(runtime.device_of(agent)),
        )
        self._started = False
        channels, height, width = agent.config.obs_shape
        self.num_envs = num_envs
        self.single_observation_space = Box(0, 255, (height, width, channels), np.uint8)
        self.single_action_space = space_of(agent.action_spec)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Frames, dict[str, Any]]:
        """Start all dreams from fresh contexts.

        Args:
            seed: all that is random until the next seed follows from it. None: the randomness goes on.
            options: ignored; there are none.

        Returns:
            (B, H, W, C) uint8, and no information.
        """
        super().reset(seed=seed)
        self._dreams.generator.manual_seed(int(self.np_random.integers(2**63)))
        obs = _pixels(self._dreams.reset().obs)
        self._started = True
        return obs, {}

    def step(self, actions: Any) -> tuple[Frames, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Imagine what follows ``actions``, (B,) int, or as ``action_space`` has them where one choice is not all.

        Returns:
            the frames to act in next, (B, H, W, C) uint8; the rewards' signs, (B,) float32; terminated, (B,)
            bool, where the world model says that the game is over; truncated, (B,) bool, at the horizon; and,
            where some dreams have ended, ``final_obs`` and ``final_info`` as Gymnasium lays them out.

        Raises:
            ResetNeeded: before the first reset.
            ValueError: actions of the wrong shape or out of range.
        """
        if not self._started:
            raise ResetNeeded("reset the dreams before the first step")
        spec = self._dreams.action_spec
        entries = from_space(spec, actions)
        # Not action_space.contains: it is strict about types, so that a list would not do.
        wrong_kind = spec.is_discrete and entries.dtype.kind not in "iu"
        if wrong_kind or entries.shape != (self.num_envs, *spec.shape) or spec.problem(entries):
            raise ValueError(f"expected {self.num_envs} actions in {self.single_action_space}, got {actions}")
        step = self._dreams.step(
            torch.as_tensor(entries, dtype=spec.dtype, device=self._dreams.generator.device)
        )
        info: dict[str, Any] = {}
        ended = np.flatnonzero(step.ended.cpu().numpy()).tolist()
        for i, frame in zip(ended, _pixels(step.final_obs), strict=True):
            info = self._add_info(info, {"final_obs": frame, "final_info": {}}, i)
        reward, terminated, truncated = (
            x.cpu().numpy() for x in (step.reward, step.terminated, step.truncated)
        )
        return _pixels(step.obs), reward, terminated, truncated, info

    def _contexts(self, k: int) -> Batch:
        return self._starts.draw(k, self.np_random).to(self._dreams.generator.device)


class DreamEnv(gymnasium.Env[Frames, Any]):
    """One dream; after its end it waits for :meth:`reset`. Make it with ``gymnasium.make``.

    ``render_mode`` "rgb_array" shows the frame to act in, or the last one.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012

    def __init__(
        self,
        checkpoint: Agent | Path | str,
        dataset: Path | str | None = None,
        horizon: int = 50,
        render_mode: str | None = None,
    ) -> None:
        """Prepare the dream; see :func:`make_dream`."""
        self._dreams = DreamEnvs(1, checkpoint, dataset, horizon)
        self._frame: Frames | None = None
        self._over = True
        self.observation_space = self._dreams.single_observation_space
        self.action_space = self._dreams.single_action_space
        self.render_mode = render_mode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Frames, dict[str, Any]]:
        """As :meth:`DreamEnvs.reset`, for one dream: (H, W, C) uint8."""
        super().reset(seed=seed)
        self._dreams.np_random = self.np_random
        obs, info = self._dreams.reset()
        self._frame, self._over = obs[0], False
        return self._frame, info

    def step(self, action: Any) -> tuple[Frames, float, bool, bool, dict[str, Any]]:
        """As :meth:`DreamEnvs.step`, for one dream.

        Raises:
            ResetNeeded: before the first reset, and after an end.
            ValueError: there is no such action.
        """
        if self._over:
            raise ResetNeeded("the dream is over, or has not begun; reset it before the next step")
        batch = {part: [value] for part, value in action.items()} if isinstance(action, Mapping) else [action]
        obs, reward, terminated, truncated, info = self._dreams.step(batch)
        self._over = bool(terminated[0] or truncated[0])
        self._frame = info["final_obs"][0] if self._over else obs[0]
        return self._frame, float(reward[0]), bool(terminated[0]), bool(truncated[0]), {}

    def render(self) -> Frames | None:
        """The current frame, (H, W, C) uint8, if ``render_mode`` is "rgb_array".

        Raises:
            ResetNeeded: before the first reset.
        """
        if self.render_mode is None:
            return None
        if self._frame is None:
            raise ResetNeeded("reset the dream before you render it")
        return self._frame.copy()


def make_dream(
    agent_or_path: Agent | Path | str, dataset: Path | str | None = None, num_envs: int = 8, horizon: int = 50
) -> DreamEnvs:
    """Dreams for any library that learns in Gymnasium's environments.

    A dream starts from L real frames, drawn uniformly from all those of the dataset. It ends where the world model
    says so. Rewards are the signs of the game's: -1, 0 or 1. Frames are (H, W, C) uint8.

    Args:
        agent_or_path: an agent, or what :func:`adamas.load` takes.
        dataset: folder of an :class:`~adamas.data.EpisodeStore`, such as a run's ``dataset/train``, which is the
            default where ``agent_or_path`` is a run's folder.
        num_envs: number B of dreams.
        horizon: steps after which a dream is truncated.

    Raises:
        UserError: there is no agent, no dataset, nothing in it to start from, its frames are not the agent's, or
            a number is below 1.
    """
    return DreamEnvs(num_envs, agent_or_path, dataset, horizon)


def _folder(dataset: Path | str | None, checkpoint: Agent | Path | str) -> Path:
    if dataset is not None:
        return Path(dataset)
    if isinstance(checkpoint, Agent) or not (Path(checkpoint) / "dataset").is_dir():
        what = "an agent by itself" if isinstance(checkpoint, Agent) else checkpoint
        raise UserError(
            f"{what} has no real frames for dreams to start from; give dataset, such as RUN/dataset/train"
        )
    return Path(checkpoint) / "dataset" / "train"


def _pixels(obs: Tensor) -> Frames:
    """(B, C, H, W) to (B, H, W, C), in CPU memory: channels last is what Gymnasium's users expect."""
    return np.ascontiguousarray(obs.permute(0, 2, 3, 1).cpu().numpy())


gymnasium.register(
    "adamas/Dream-v0",
    entry_point="adamas.interop.dream_env:DreamEnv",
    vector_entry_point="adamas.interop.dream_env:DreamEnvs",
)
