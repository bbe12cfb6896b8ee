"""The two kinds of worlds that can be played: a dream, and the real game."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from adamas.core import runtime
from adamas.core.protocols import DreamState
from adamas.core.types import Batch, History
from adamas.dreaming.starts import Trail
from adamas.envs.vector import RealVectorEnv
from adamas.play.server_messages import DreamStatus, WorldStatus
from adamas.world_models.base import Details, Imagined, WorldModel

MakeEnv = Callable[[bool], RealVectorEnv]
"""A function from ``training`` to one real environment."""


class DreamSteps(NamedTuple):
    """One step of several dreams, one in each row.

    Attributes:
        state: the world model's state after the step.
        imagined: what it imagined.
        details: what else it says of the step.
        frames: (B, C, H, W) uint8, the new frames, in CPU memory.
    """

    state: DreamState
    imagined: Imagined
    details: Details
    frames: Tensor


class World:
    """The state of an episode.

    Attributes:
        obs: (C, H, W) uint8, in CPU memory.
        reward: reward of the last step.
        total: sum of the rewards so far.
        age: number of steps so far.
        over: why the episode has ended; empty while it continues.
    """

    obs: Tensor

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.reward = self.total = 0.0
        self.age = 0
        self.over = ""

    def _count(self, reward: float) -> None:
        self.reward = reward
        self.total += reward
        self.age += 1

    def status(self) -> WorldStatus:
        """The values that the page shows."""
        return WorldStatus(reward=self.reward, total=self.total, age=self.age, over=self.over)


class Dream(World):
    """One dream.

    Attributes:
        state: the world model's state for B = 1.
        features: what the policy sees of the newest frame, without the batch.
        history: what it would have seen before the dream (K = 1).
        path: the denoising steps of the last frame, (C, H, W) each, in [-1, 1]; empty before the first step.
    """

    state: DreamState
    features: Tensor
    history: History

    def __init__(self) -> None:
        super().__init__()
        self._chances: tuple[list[float] | None, float | None] = None, None
        self._has_rewards = True
        self.path: list[Tensor] = []

    def begin(self, context: Batch, world_model: WorldModel) -> None:
        """Start from L real frames, (1, L, C, H, W)."""
        self._begin()
        self.obs = context.obs[0, -1]
        self._has_rewards = world_model.predicts_rewards
        context = context.to(runtime.device_of(world_model))
        self.state, seen = world_model.start(context)
        self.features = seen[0, -1]
        self.history = History(seen[:, :-1], context.mask[:, :-1], context.action)
        self._chances, self.path = (None, None), []

    def go_on(self, steps: DreamSteps, row: int, horizon: int) -> None:
        """Take row ``row`` of a batched step as the next state. A ``horizon`` of 0 sets no limit of steps."""
        imagined, details = steps.imagined, steps.details
        self.state = {name: tensor[row : row + 1] for name, tensor in steps.state.items()}
        self.features = imagined.features[row]
        self.obs = steps.frames[row]
        self._count(float(imagined.reward[row]))
        self.path = [point[row] for point in details.path]
        reward, end = (
            None if logits is None else logits[row].float().softmax(dim=-1).tolist()
            for logits in (details.logits_reward, details.logits_end)
        )
        self._chances = reward, None if end is None else end[1]
        if imagined.terminated[row]:
            self.over = "ended"
        elif horizon and self.age >= horizon:
            self.over = "horizon"

    def status(self) -> DreamStatus:
        """The values that the page shows."""
        reward, end = self._chances
        return DreamStatus(
            reward=self.reward if self._has_rewards else None,
            total=self.total if self._has_rewards else None,
            age=self.age,
            over=self.over,
            reward_probabilities=reward,
            end_probability=end,
        )


class Game(World):
    """One real game, in an environment of its own."""

    def __init__(self, env: RealVectorEnv, context_length: int) -> None:
        super().__init__()
        self._env = env
        self._trail = Trail(context_length, env.action_spec)
        self._next: Tensor | None = (
            None  # first frame of the next episode, after the environment has restarted
        )

    def begin(self) -> None:
        """Start an episode. If a lost life ended the episode before, the game continues after it."""
        self._begin()
        self.obs = self._env.reset().obs[0] if self._next is None else self._next
        self._next = None
        self._trail.begin(self.obs)

    def go_on(self, action: Tensor) -> None:
        """Take an action, (``*spec.shape``)."""
        step = self._env.step(action[None])
        self._count(float(step.reward[0]))
        if step.ended[0]:
            self.over = "ended" if step.terminated[0] else "cut off"
            self.obs, self._next = step.final_obs[0], step.obs[0]
        else:
            self.obs = step.obs[0]
            self._trail.add(action, self.obs)

    def context(self) -> Batch:
        """The last L frames, from which a dream can start."""
        return self._trail.context()

    def close(self) -> None:
        """Close the environment."""
        self._env.close()
