"""What all world models have in common: how they dream, and what policies see of dreams and of real games."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

from torch import Generator, Tensor, nn

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.core.kinds import Open
from adamas.core.protocols import Component, DreamState
from adamas.core.types import Batch, SegmentSpec
from adamas.diffusion.samplers import SamplerConfig, SamplerName
from adamas.rl.policy import PolicyConfig

Memory = tuple[Tensor, ...]
"""What a world model remembers of real games that it watches: tensors with B as their first dimension."""


class Imagined(NamedTuple):
    """One step of B dreams.

    Attributes:
        features: (B, ...), what the policy sees next: frames (B, C, H, W) uint8, or any float32.
        reward: (B,) float32. The learners ``reinforce`` and ``ppo`` take its sign, so sample -1, 0 or 1 for them.
        terminated: (B,) bool, whether the episode ends with this step; sampled, if the model has a probability.
        end_probability: (B,) float32, the probability of that end, if policies are to learn from it instead of the
            sample. Such dreams go on after an end.
    """

    features: Tensor
    reward: Tensor
    terminated: Tensor
    end_probability: Tensor | None = None


class Details(NamedTuple):
    """What people may want to know of a step of B dreams; empty or None where the world model does not say."""

    path: list[Tensor] = []  # noqa: RUF012  # never changed
    """N + 1 points from noise to frame, (B, C, h, w) each, in the model's range."""
    logits_reward: Tensor | None = None
    """(B, 3), for the rewards -1, 0 and 1."""
    logits_end: Tensor | None = None
    """(B, 2), for no end and an end."""


class Call(NamedTuple):
    """One call of a network.

    Attributes:
        network: the network.
        inputs: its arguments, on its device.
    """

    network: nn.Module
    inputs: tuple[Any, ...]


class WorldModel(nn.Module, ABC):
    """A learned environment. The states of dreams are passed in and returned, never stored in the module.

    A subclass must implement the abstract methods. The others describe a world model whose policy sees frames; override
    those that are different in yours.

    The state of dreams is a dictionary of tensors with B as their first dimension. ``start`` and ``imagine`` return the
    same keys, data types and shapes, so caches have their full size from the start. They compute without gradients, and
    never change the state that they are given, because it may be kept and continued several times.
    """

    restarts_at_end: bool = True
    """Whether a dream starts again when it is terminated. If not, it goes on up to the horizon, and what follows the
    end is learnt from as well."""

    @property
    @abstractmethod
    def context_length(self) -> int:
        """Number L of real frames that start a dream."""

    @property
    def contexts(self) -> SegmentSpec:
        """Segments of the replay that the policy's dreams start from, without last frames of episodes."""
        return SegmentSpec(self.context_length, final_frame=False)

    @abstractmethod
    def start(self, context: Batch) -> tuple[DreamState, Tensor]:
        """Start B dreams from L real frames each and the L - 1 actions between them.

        Returns:
            The state, and what the policy sees of the context, (B, L, ...).
        """

    @abstractmethod
    def imagine(self, state: DreamState, action: Tensor, generator: Generator) -> tuple[DreamState, Imagined]:
        """Predict what follows ``action``: (B,) int64, or (B, D) float32 where actions are vectors."""

    @abstractmethod
    def decode(self, state: DreamState) -> Tensor:
        """The newest frames of B dreams, for people: (B, C, H, W) uint8."""

    @abstractmethod
    def components(self, horizon: int) -> Mapping[str, Component]:
        """The parts to train, in this order, each with its own optimiser; for dreams of ``horizon`` steps."""

    def prepare_training(self) -> None:
        """Load what only training needs, in the thread that starts it. Called before the first update of a run.

        Raises:
            UserError: it is not there; the message says how to get it.
        """

    def initial_memory(self, batch_size: int) -> Memory:
        """What the world model remembers of a real game at the start of an episode."""
        return ()

    def observe(self, memory: Memory, obs: Tensor) -> tuple[Tensor, Memory]:
        """Watch a real game: what the policy sees of the frames (B, C, H, W) uint8, and the memory after them."""
        return obs, memory

    def remember(self, memory: Memory, action: Tensor) -> Memory:
        """The memory after the policy has taken ``action`` in the real game."""
        return memory

    @property
    def predicts_rewards(self) -> bool:
        """Whether dreams have rewards and ends."""
        return True

    @property
    def sampler(self) -> SamplerConfig | None:
        """How frames are drawn in several denoising steps; None if they are not drawn from noise."""
        return None

    def with_denoising(self, num_steps: int | None, method: SamplerName | None) -> WorldModel:
        """The same world model, which draws frames in another number of steps or by another method; None keeps either.

        Raises:
            UserError: frames are not drawn from noise, or not in this way.
        """
        own = self.sampler
        if own is None:
            if num_steps is None and method is None:
                return self
            raise UserError(
                "this world model does not draw frames from noise, so it has no denoising steps and no sampler; leave "
                "out options about them"
            )
        return self.with_sampler(
            replace(own, num_steps=num_steps or own.num_steps, method=method or own.method)
        )

    def with_sampler(self, sampler: SamplerConfig) -> WorldModel:
        """A world model with the same weights (shared, not copied) and another sampler, where :attr:`sampler` is one.

        Raises:
            UserError: frames are not drawn with this sampler.
        """
        raise NotImplementedError

    def imagine_in_detail(
        self, state: DreamState, action: Tensor, generator: Generator
    ) -> tuple[DreamState, Imagined, Details]:
        """Do as :meth:`imagine`, and say more about the step, for people."""
        state, imagined = self.imagine(state, action, generator)
        return state, imagined, Details()

    def example_calls(self, batch_size: int, generator: Generator) -> Mapping[str, Call]:
        """One call of each network that predicts a part of a step of B dreams, by the names of components.

        They are timed alone, and compared between devices. Where there are none, only whole steps and updates are.

        Args:
            batch_size: B.
            generator: source of the inputs, on the CPU, so that they are the same on every device.
        """
        return {}


class IncompleteError(Exception):
    """A file in the format of published code holds only a part of an agent.

    The message continues a sentence that begins with the file's name: what is missing, and the remedy.
    """


class Published(NamedTuple):
    """An agent of a file that published code wrote, or can read.

    Attributes:
        obs_shape: (C, H, W) of a frame.
        actions: what it may do.
        world_model: its world model.
        actor_critic: its policy, or None.
        tensors: its weights, named as in an agent's state dict.
    """

    obs_shape: tuple[int, int, int]
    actions: ActionSpec
    world_model: WorldModelConfig
    actor_critic: PolicyConfig | None
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class WorldModelConfig(Open):
    """Base of the configurations of world models.

    To add a world model, write such a configuration, a :class:`WorldModel` and a
    :class:`~adamas.rl.part_training.TrainingConfig` in a folder of its own, and register the two dataclasses in
    :mod:`adamas.world_models.registry`.
    """

    kind: str
    shows_frames: ClassVar[bool] = False
    """Whether policies see frames (B, C, H, W) uint8 as they are, in the game and in dreams. Only such policies can
    learn without a world model."""
    hub_games: ClassVar[Mapping[str, str]] = {}
    """Repositories on the Hugging Face hub with one published file for each game of Atari 100k, as ``owner/name``, and
    the path of a file there with ``{}`` in the place of the game. In them, the name of a game stands for its file."""

    @abstractmethod
    def build(self, obs_shape: tuple[int, int, int], action_spec: ActionSpec) -> WorldModel:
        """Build the world model with random weights, for frames (C, H, W) and actions.

        Raises:
            UserError: it cannot be built for these frames or actions.
        """

    @abstractmethod
    def feature_shape(self, obs_shape: tuple[int, int, int]) -> tuple[int, ...]:
        """The shape of what the policy sees, without the batch, for frames (C, H, W)."""

    @property
    @abstractmethod
    def num_blocks(self) -> int:
        """A lower bound on the number of weight tensors, such as the number of layers.

        A file with fewer tensors is refused before a model of these sizes is built.
        """

    @property
    def summary(self) -> str:
        """What the world model is and whose method it is, in a Markdown sentence, for an agent's page on the hub."""
        return f"The world model is of the kind {self.kind}."

    @classmethod
    def from_published(cls, tensors: Mapping[str, Tensor]) -> Published | None:
        """The agent of a file in the format of this kind's own published code; None if it is no such file.

        Args:
            tensors: the content of the file.

        Raises:
            IncompleteError: the file holds only a part of an agent.
            KeyError: a tensor is missing.
            ValueError, TypeError, IndexError, ZeroDivisionError: shapes do not fit together.
            UserError: sizes are not possible.
        """
        return None

    def to_published(self, agent: Published) -> Mapping[str, Tensor]:
        """The weights of an agent with this world model, named as in a file that :meth:`from_published` reads.

        Raises:
            UserError: the published code of this kind cannot represent the agent.
        """
        raise UserError(
            f"there is no published format for writing an agent of the kind {self.kind}; keep the checkpoint folder "
            "instead"
        )

    def check_training(self, training: Any) -> None:
        """Check that the settings of training, of the same kind, have every component. Raises UserError if not."""

    def check_frames(self, obs_shape: tuple[int, int, int]) -> None:
        """Raise UserError if the world model cannot be built for frames (C, H, W)."""

    def without_labels(self) -> WorldModelConfig:
        """The world model of recordings that have neither rewards nor ends.

        Raises:
            UserError: it needs them.
        """
        raise UserError(
            f"a world model of the kind {self.kind} needs rewards and ends, and the recordings have none; choose "
            "another kind, or record them"
        )
