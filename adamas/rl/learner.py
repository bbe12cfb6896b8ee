"""Learners: how a policy learns from rollouts, in dreams or in the real game."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from adamas.core.kinds import Open
from adamas.core.seeding import Streams
from adamas.core.workers import Workers
from adamas.nn.optim import Optimizer, OptimizerConfig
from adamas.rl.policy import PolicyNetwork
from adamas.rl.rollout import Rollout

Act = Callable[[], Rollout]
"""Acts in the environments of one shard for a few steps, from where the last call ended."""

Metrics = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class LearnerConfig(Open):
    """Base of the configurations of learners.

    To add a learner, write such a configuration and a :class:`Learner`, and register the configuration
    (:func:`adamas.core.kinds.register`).
    """

    rule: str
    """Rule by which the policy learns. reinforce: one update from each rollout (Alonso et al. 2024). ppo:
    several updates from each rollout, with a limit on how far the policy moves (Schulman et al. 2017)."""

    @property
    def num_minibatches(self) -> int:
        """Number of parts that the sequences of every shard are divided into; each part needs a sequence."""
        return 1

    @property
    def passes(self) -> int:
        """Forward passes of the policy for a step of a rollout, to act and to learn; a backward pass counts as two."""
        return 3

    @abstractmethod
    def make(
        self, policy: PolicyNetwork, optimizer: OptimizerConfig, workers: Workers, streams: Streams
    ) -> Learner:
        """Make the learner; arguments as of :class:`Learner`."""


class Learner(ABC):
    """How a policy learns. It owns the optimiser, and whatever else its rule needs."""

    def __init__(
        self,
        policy: PolicyNetwork,
        config: Any,
        optimizer: OptimizerConfig,
        workers: Workers,
        streams: Streams,
    ) -> None:
        """Prepare to train ``policy``.

        Args:
            policy: the policy and value function.
            config: the rule, of the type that the subclass expects.
            optimizer: how the weights of the policy are updated.
            workers: compute the shards of a batch.
            streams: the random streams of the run.
        """
        self.policy = policy
        self.config = config
        self.workers = workers
        self.optimizer = Optimizer(policy, optimizer, workers.group, accumulate=not workers.threads)

    @abstractmethod
    def update(self, act: Sequence[Act], shares: Sequence[float]) -> Metrics:
        """Act once in every shard, and learn from what happened.

        Args:
            act: acts in the environments of a shard, for every shard of this process.
            shares: each shard's share of all environments.

        Returns:
            Averages over the shards of all processes.
        """

    def state_dict(self) -> dict[str, Any]:
        """The state for a checkpoint, without the weights of the policy."""
        return {"optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.optimizer.load_state_dict(state["optimizer"])


def rates(reward: Tensor, terminated: Tensor, truncated: Tensor) -> dict[str, Tensor]:
    """Rates of rewards and ends per step. In a good world model, they are the same as in the game."""
    return {
        "reward_rate": reward.sign().mean(),
        "nonzero_reward_rate": (reward != 0).float().mean(),
        "end_rate": terminated.float().mean(),
        "truncation_rate": truncated.float().mean(),
    }


def rates_of(rollout: Rollout) -> dict[str, Tensor]:
    """The rates of a rollout."""
    return rates(rollout.reward, rollout.terminated, rollout.truncated)
