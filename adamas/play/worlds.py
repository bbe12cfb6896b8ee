"""The two worlds a player may be in: a dream, and the real game."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from adamas.core.protocols import DreamState, Prediction
from adamas.core.types import Batch
from adamas.dreaming.starts import Trail
from adamas.envs.vector import RealVectorEnv
from adamas.world_models.diamond import Diamond, Thoughts

MakeEnv = Callable[[bool], RealVectorEnv]
"""``training -> one real environment``."""


class World:
    """Where an episode stands.

    Attributes:
        obs: (C, H, W) uint8, in CPU memory.
        reward: of the last step.
        total: return so far.
        age: steps so far.
        over: why the episode stands still; empty while it goes on.
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

    def describe(self) -> dict[str, Any]:
        """What the page shows of it."""
        return {"reward": self.reward, "return": self.total, "age": self.age, "over": self.over}


class Dream(World):
    """One dream.

    Attributes:
        state: of the world model, for B = 1.
        path: the denoising steps of the last frame, (C, H, W) each, in the model's range; none after a beginning.
    """

    state: DreamState

    def __init__(self) -> None:
        super().__init__()
        self._chances: tuple[list[float] | None, float | None] = None, None
        self.path: list[Tensor] = []

    def begin(self, context: Batch, world_model: Diamond) -> None:
        """Start from L real frames, (1, L, C, H, W)."""
        self._begin()
        self.obs = context.obs[0, -1]
        self.state = world_model.initial_state(context.to(next(world_model.parameters()).device))
        self._chances, self.path = (None, None), []

    def go_on(self, imagined: tuple[DreamState, Prediction, Thoughts], row: int, horizon: int) -> None:
        """Take over row ``row`` of a batched step; stop after ``horizon`` steps, unless it is 0."""
        state, prediction, thoughts = imagined
        self.state = {name: tensor[row : row + 1] for name, tensor in state.items()}
        self.obs = prediction.obs[row].cpu()
        self._count(float(prediction.reward[row]))
        self.path = [point[row] for point in thoughts.path]
        reward, end = (
            None if logits is None else logits[row].float().softmax(dim=-1).tolist()
            for logits in (thoughts.logits_reward, thoughts.logits_end)
        )
        self._chances = reward, None if end is None else end[1]
        if prediction.terminated[row]:
            self.over = "ended"
        elif horizon and self.age >= horizon:
            self.over = "horizon"

    def describe(self) -> dict[str, Any]:
        """What the page shows of it."""
        reward, end = self._chances
        return {**super().describe(), "reward_probabilities": reward, "end_probability": end}


class Game(World):
    """One real game, in an environment of its own."""

    def __init__(self, env: RealVectorEnv, context_length: int) -> None:
        super().__init__()
        self._env = env
        self._trail = Trail(context_length, env.action_spec)
        self._next: Tensor | None = None  # the next episode's first frame, where the environment restarted

    def begin(self) -> None:
        """Start an episode. After a lost life, if that ended the last one, the game goes on."""
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
        """The last L frames, for a dream to go on from."""
        return self._trail.context()

    def close(self) -> None:
        """Release the environment."""
        self._env.close()
